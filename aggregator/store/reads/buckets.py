"""Reads a long history as few points: the store sums up each bucket of cycles, and sends no rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Float, Select, func, select
from sqlmodel import Session

from aggregator.store.tables import Prediction, Telemetry, core

_telemetry, _prediction = core(Telemetry), core(Prediction)

QUANTITIES = ("rul_mean_cycles", "rul_q05_cycles", "rul_q50_cycles", "rul_q95_cycles")


class Extent(NamedTuple):
    """One quantity over the rows of a bucket."""

    min: float
    max: float
    mean: float


@dataclass(frozen=True, slots=True)
class Bucket:
    """Rows in a row, summed up; a quantity that none of them has is None.

    Attributes:
        rows: how many there are.
    """

    first_cycle: int
    last_cycle: int
    rows: int
    extents: dict[str, Extent | None]


@dataclass(frozen=True, slots=True)
class BucketSpan:
    """Which part of an engine's history is wanted, in one installation, both cycles included.

    Attributes:
        buckets: how many at most; they are of the same number of cycles.
    """

    engine_id: int
    installation_id: str
    from_cycle: int
    to_cycle: int
    buckets: int


def sum_up_telemetry(session: Session, span: BucketSpan, channels: Sequence[str]) -> list[Bucket]:
    """Sum up channels of an engine's rows."""
    columns = {channel: _telemetry.c.channels[channel].as_float() for channel in channels}
    return _sum_up(session, span, _telemetry, columns)


def sum_up_predictions(session: Session, span: BucketSpan) -> list[Bucket]:
    """Sum up mean and quantiles of what the gateways predicted of an engine unasked, in cycles, unclipped."""
    columns: dict[str, ColumnElement[Any]] = {name: _prediction.c[name] for name in QUANTITIES}
    return _sum_up(session, span, _prediction, columns, _prediction.c.origin == "edge")


def _sum_up(
    session: Session, span: BucketSpan, table: Any, columns: dict[str, ColumnElement[Any]], *also: ColumnElement[bool]
) -> list[Bucket]:
    connection, names = session.connection(), list(columns)
    wanted = (
        table.c.engine_id == span.engine_id,
        table.c.installation_id == span.installation_id,
        table.c.cycle.between(span.from_cycle, span.to_cycle),
        *also,
    )
    first, last = connection.execute(select(func.min(table.c.cycle), func.max(table.c.cycle)).where(*wanted)).one()
    if first is None:
        return []
    width = -(-(last - first + 1) // span.buckets)
    # Read out of the JSON once each, and not again for each of the three sums.
    read = select(
        ((table.c.cycle - first) // width).label("place"),
        table.c.cycle,
        *(column.cast(Float).label(f"v{index}") for index, column in enumerate(columns.values())),
    )
    rows = connection.execute(_grouped(read.where(*wanted), len(names)))
    return [
        Bucket(row[0], row[1], row[2], {name: _extent(row[3 + 3 * at : 6 + 3 * at]) for at, name in enumerate(names)})
        for row in rows
    ]


def _grouped(read: Select[Any], quantities: int) -> Select[Any]:
    rows = read.subquery()
    values = [rows.c[f"v{index}"] for index in range(quantities)]
    sums = [each(value) for value in values for each in (func.min, func.max, func.avg)]
    return (
        select(func.min(rows.c.cycle), func.max(rows.c.cycle), func.count(), *sums)
        .group_by(rows.c.place)
        .order_by(rows.c.place)
    )


def _extent(sums: Sequence[Any]) -> Extent | None:
    return None if sums[0] is None else Extent(*sums)
