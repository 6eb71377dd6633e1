"""Reads the medians that engines' declines are judged by, in the transaction that takes their predictions."""

from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, select

from aggregator.fleet.decline import Median
from aggregator.fleet.rul import Rul
from aggregator.store.reads.whole import read_whole
from aggregator.store.tables import CurrentState, Engine, Prediction, core

_engine, _state, _prediction = core(Engine), core(CurrentState), core(Prediction)

MEDIAN: tuple[ColumnElement[Any], ...] = (
    *(_prediction.c[name] for name in ("installation_id", "model_id", "cycle")),
    *(_prediction.c[f"{name}_cycles"] for name in ("rul_mean", "rul_q05", "rul_q50", "rul_q95", "cap")),
)
"""The columns that ``median_of`` reads."""

_RECENT: Select[Any] = (
    select(_engine.c.id, *MEDIAN)
    .outerjoin(_state, _state.c.engine_id == _engine.c.id)
    .join(_prediction, _prediction.c.engine_id == _engine.c.id)
    .where(
        _engine.c.id.in_(bindparam("engine_ids", expanding=True)),
        _prediction.c.cycle >= func.coalesce(_state.c.prediction_cycle, 0) - bindparam("over_cycles"),
        _prediction.c.origin == "edge",
    )
    .order_by(_engine.c.id, _prediction.c.cycle, _prediction.c.id)
)


class Recent(NamedTuple):
    """One of the latest predictions of an engine, of one installation of it."""

    installation_id: str
    median: Median


def median_of(installation_id: str, model_id: int, cycle: int, *rul: float) -> Median:
    """The median of a row with the columns of ``MEDIAN``."""
    return Median.said((installation_id, model_id), cycle, Rul(*rul))


def read_recent(connection: Connection, engine_ids: Collection[int], over_cycles: int) -> dict[int, list[Recent]]:
    """The predictions of these engines from so many cycles before their stored states on, by cycle.

    Args:
        connection: in the transaction that has written predictions, and not yet the states that they come to.
        engine_ids: of the engines.
        over_cycles: how far to look back.
    """
    found: dict[int, list[Recent]] = {engine_id: [] for engine_id in engine_ids}
    if not engine_ids:
        return found
    wanted = {"engine_ids": sorted(engine_ids), "over_cycles": over_cycles}
    for engine_id, *row in read_whole(connection, _RECENT, wanted):
        found[engine_id].append(Recent(row[0], median_of(*row)))
    return found
