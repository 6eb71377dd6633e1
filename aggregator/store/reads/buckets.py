"""Reads a long history as few points: the store sums up each bucket of cycles, and sends no rows.

What was pruned is there by day, and a day counts in the bucket that it begins in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Float, Select, func, select
from sqlmodel import Session

from aggregator.store.roll_ups import Recorded, Summed, Sums, read_days
from aggregator.store.tables import Prediction, Telemetry, core

_telemetry, _prediction = core(Telemetry), core(Prediction)

QUANTITIES = ("rul_mean_cycles", "rul_q05_cycles", "rul_q50_cycles", "rul_q95_cycles")


@dataclass(frozen=True, slots=True)
class Extent:
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
    connection = session.connection()
    wanted = (
        table.c.engine_id == span.engine_id,
        table.c.installation_id == span.installation_id,
        table.c.cycle.between(span.from_cycle, span.to_cycle),
        *also,
    )
    first, last = connection.execute(select(func.min(table.c.cycle), func.max(table.c.cycle)).where(*wanted)).one()
    recorded = Recorded(table.name, span.engine_id, span.installation_id)
    pruned = read_days(connection, recorded, span.from_cycle, span.to_cycle)
    firsts = [day.first_cycle for day in pruned] + ([] if first is None else [first])
    lasts = [day.last_cycle for day in pruned] + ([] if last is None else [last])
    if not firsts:
        return []
    began = min(firsts)
    width = -(-(max(lasts) - began + 1) // span.buckets)
    # Read out of the JSON once each, and not again for each of the sums.
    read = select(
        ((table.c.cycle - began) // width).label("place"),
        table.c.cycle,
        *(column.cast(Float).label(f"v{index}") for index, column in enumerate(columns.values())),
    )
    rows = connection.execute(_grouped(read.where(*wanted), len(columns)))
    if not pruned:
        return [_of_rows(row, list(columns)) for row in rows]
    places = {row[0]: _summed(row[1:], list(columns)) for row in rows}
    for day in pruned:
        place = (day.first_cycle - began) // width
        if place in places:
            places[place].add(day)
        else:
            places[place] = day
    return [_bucket(summed, list(columns)) for _, summed in sorted(places.items())]


def _grouped(read: Select[Any], quantities: int) -> Select[Any]:
    rows = read.subquery()
    values = [rows.c[f"v{index}"] for index in range(quantities)]
    sums = [each(value) for value in values for each in (func.count, func.min, func.max, func.sum)]
    whole = (rows.c.place, func.min(rows.c.cycle), func.max(rows.c.cycle), func.count())
    return select(*whole, *sums).group_by(rows.c.place).order_by(rows.c.place)


def _of_rows(row: Sequence[Any], names: Sequence[str]) -> Bucket:
    """A bucket in which nothing was pruned, which is nearly every one."""
    _, first, last, count, *sums = row
    extents: dict[str, Extent | None] = {}
    for name, at in zip(names, range(0, len(sums), 4), strict=True):
        values, lowest, highest, total = sums[at : at + 4]
        extents[name] = Extent(lowest, highest, total / values) if values else None
    return Bucket(first, last, count, extents)


def _summed(row: Sequence[Any], names: Sequence[str]) -> Summed:
    extents = {name: Sums(*row[3 + 4 * at : 7 + 4 * at]) for at, name in enumerate(names)}
    first, last, rows = row[:3]
    return Summed(first, last, rows, {name: extent for name, extent in extents.items() if extent.count})


def _bucket(summed: Summed, names: Sequence[str]) -> Bucket:
    found = {name: summed.quantities.get(name) for name in names}
    extents = {
        name: None if sums is None else Extent(sums.min, sums.max, sums.sum / sums.count)
        for name, sums in found.items()
    }
    return Bucket(summed.first_cycle, summed.last_cycle, summed.rows, extents)
