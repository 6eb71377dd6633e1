"""What conditions judge of the records that the store has, as columns of its tables."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement

from aggregator.fleet.conditions import FastDecline, OfRecords, RulLow, SensorBad
from aggregator.fleet.decline import falls
from aggregator.fleet.rul import Rul
from aggregator.store.medians import MEDIAN, median_of
from aggregator.store.tables import Prediction, Telemetry, core

_prediction, _telemetry = core(Prediction), core(Telemetry)

JUDGED: dict[type[OfRecords], tuple[ColumnElement[Any], ...]] = {
    RulLow: tuple(_prediction.c[f"{name}_cycles"] for name in ("rul_mean", "rul_q05", "rul_q50", "rul_q95", "cap")),
    FastDecline: MEDIAN,
    SensorBad: (_telemetry.c.flags,),
}
"""The columns that ``judged`` reads."""


def judged(condition: OfRecords, rows: Sequence[Sequence[Any]]) -> list[Any]:
    """What a condition judges of each record: a ``Rul``, a ``Fall`` if any, or flags.

    Args:
        condition: which one.
        rows: of one engine, in the order of its cycles, each with the columns of ``JUDGED``.
    """
    match condition:
        case RulLow():
            return [Rul(*row) for row in rows]
        case FastDecline():
            return list(falls((median_of(*row) for row in rows), condition.over_cycles))
        case SensorBad():
            return [row[0] for row in rows]
