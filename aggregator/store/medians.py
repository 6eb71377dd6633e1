"""Reads the medians that engines' declines are judged by, in the transaction that takes their predictions."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, or_, select

from aggregator.fleet.decline import Median
from aggregator.store.reads.whole import read_whole
from aggregator.store.tables import CurrentState, Engine, Prediction, core

_engine, _state, _prediction = core(Engine), core(CurrentState), core(Prediction)

MEDIAN: tuple[ColumnElement[Any], ...] = tuple(
    _prediction.c[name] for name in ("installation_id", "model_id", "cycle", "rul_q50_cycles", "cap_cycles")
)
"""The columns that ``median_of`` reads."""

_reached = func.coalesce(_state.c.prediction_cycle, 0)
_RECENT: Select[Any] = (
    select(_engine.c.id, *MEDIAN)
    .outerjoin(_state, _state.c.engine_id == _engine.c.id)
    .join(_prediction, _prediction.c.engine_id == _engine.c.id)
    .where(
        _engine.c.id.in_(bindparam("engine_ids", expanding=True)),
        _prediction.c.cycle >= _reached - bindparam("over_cycles"),
        or_(_prediction.c.cycle > _reached, _prediction.c.cycle <= _reached + bindparam("to_cycles")),
        _prediction.c.origin == "edge",
    )
    .order_by(_engine.c.id, _prediction.c.cycle, _prediction.c.id)
)


def median_of(installation_id: str, model_id: int, cycle: int, q50: float, cap: float) -> Median:
    """The median of a row with the columns of ``MEDIAN``."""
    return Median.said((installation_id, model_id), cycle, q50, cap)


def read_recent(
    connection: Connection, engine_ids: Collection[int], over_cycles: int, to_cycles: int
) -> dict[int, list[Median]]:
    """The medians that new predictions of these engines are compared with, and their own, by cycle.

    Args:
        connection: in the transaction that has written predictions, and not yet the states that they come to.
        engine_ids: of the engines.
        over_cycles: from so many cycles before their stored states on.
        to_cycles: up to so many cycles after those, mostly below zero; and whatever is after the state itself.
    """
    found: dict[int, list[Median]] = {engine_id: [] for engine_id in engine_ids}
    if not engine_ids:
        return found
    wanted = {"engine_ids": sorted(engine_ids), "over_cycles": over_cycles, "to_cycles": to_cycles}
    for engine_id, *row in read_whole(connection, _RECENT, wanted):
        found[engine_id].append(median_of(*row))
    return found
