"""Reads a long history as few points: the store sums up each bucket of cycles, and sends no rows.

What was pruned is there by day, and a day counts in the bucket that it begins in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Float, Integer, Row, Select, String, bindparam, func, select
from sqlmodel import Session

from aggregator.store.reads.whole import read_whole
from aggregator.store.roll_ups import Recorded, Summed, Sums, read_days
from aggregator.store.tables import Prediction, Telemetry, core

_telemetry, _prediction = core(Telemetry), core(Prediction)

_EVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
QUANTITIES = ("rul_mean_cycles", "rul_q05_cycles", "rul_q50_cycles", "rul_q95_cycles")


class Extent(msgspec.Struct, frozen=True):
    """One quantity over the rows of a bucket."""

    min: float
    max: float
    mean: float


class Bucket(msgspec.Struct, frozen=True):
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
        since: only what was observed then or later, by the gateway's clock.
        until: only what was observed before.
    """

    engine_id: int
    installation_id: str
    from_cycle: int
    to_cycle: int
    buckets: int
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_timed(self) -> bool:
        """Whether time matters at all."""
        return self.since is not None or self.until is not None


class _Reading(NamedTuple):
    """The statements that read one history: its first and last cycle, and its buckets."""

    kind: str
    names: Sequence[str]
    ends: Select[Any]
    sums: Select[Any]


def sum_up_telemetry(session: Session, span: BucketSpan, channels: Sequence[str]) -> list[Bucket]:
    """Sum up channels of an engine's rows."""
    return _sum_up(session, span, _reading_telemetry(tuple(channels), span.is_timed))


def sum_up_predictions(session: Session, span: BucketSpan) -> list[Bucket]:
    """Sum up mean and quantiles of what the gateways predicted of an engine unasked, in cycles, unclipped."""
    return _sum_up(session, span, _reading_predictions(span.is_timed))


def _reading(
    table: Any, columns: Mapping[str, ColumnElement[Any]], is_timed: bool, *also: ColumnElement[bool]
) -> _Reading:
    if is_timed:
        at = table.c.observed_at
        also = (*also, at >= bindparam("since", type_=at.type), at < bindparam("until", type_=at.type))
    wanted = (
        table.c.engine_id == bindparam("engine_id", type_=Integer),
        table.c.installation_id == bindparam("installation_id", type_=String),
        table.c.cycle.between(bindparam("from_cycle", type_=Integer), bindparam("to_cycle", type_=Integer)),
        *also,
    )
    ends = table.c.cycle, table.c.cycle.desc()
    # Read out of the JSON once each, and not again for each of the sums.
    rows = (
        select(
            ((table.c.cycle - bindparam("began", type_=Integer)) // bindparam("width", type_=Integer)).label("place"),
            table.c.cycle,
            *(column.cast(Float).label(f"v{index}") for index, column in enumerate(columns.values())),
        )
        .where(*wanted)
        .subquery()
    )
    values = [rows.c[f"v{index}"] for index in range(len(columns))]
    sums = [each(value) for value in values for each in (func.count, func.min, func.max, func.sum)]
    whole = (rows.c.place, func.min(rows.c.cycle), func.max(rows.c.cycle), func.count())
    return _Reading(
        kind=table.name,
        names=list(columns),
        # Each by one step along the index, where the minimum and maximum in one would walk all of it.
        ends=select(*(select(table.c.cycle).where(*wanted).order_by(by).limit(1).scalar_subquery() for by in ends)),
        sums=select(*whole, *sums).group_by(rows.c.place).order_by(rows.c.place),
    )


@lru_cache(maxsize=64)
def _reading_telemetry(channels: tuple[str, ...], is_timed: bool) -> _Reading:
    return _reading(_telemetry, {channel: _telemetry.c.channels[channel].as_float() for channel in channels}, is_timed)


@lru_cache
def _reading_predictions(is_timed: bool) -> _Reading:
    columns = {name: _prediction.c[name] for name in QUANTITIES}
    return _reading(_prediction, columns, is_timed, _prediction.c.origin == "edge")


def _sum_up(session: Session, span: BucketSpan, reading: _Reading) -> list[Bucket]:
    connection = session.connection()
    wanted: dict[str, Any] = {
        "engine_id": span.engine_id,
        "installation_id": span.installation_id,
        "from_cycle": span.from_cycle,
        "to_cycle": span.to_cycle,
    }
    if span.is_timed:
        wanted |= {"since": span.since or _EVER[0], "until": span.until or _EVER[1]}
    first, last = connection.execute(reading.ends, wanted).one()
    recorded = Recorded(reading.kind, span.engine_id, span.installation_id)
    pruned = read_days(connection, recorded, span.from_cycle, span.to_cycle, span.since, span.until)
    firsts = [day.first_cycle for day in pruned] + ([] if first is None else [first])
    lasts = [day.last_cycle for day in pruned] + ([] if last is None else [last])
    if not firsts:
        return []
    began = min(firsts)
    width = -(-(max(lasts) - began + 1) // span.buckets)
    rows = read_whole(session, reading.sums, wanted | {"began": began, "width": width})
    if not pruned:
        return _of_rows(rows, reading.names)
    places = {row[0]: _summed(row[1:], reading.names) for row in rows}
    for day in pruned:
        place = (day.first_cycle - began) // width
        if place in places:
            places[place].add(day)
        else:
            places[place] = day
    return [_bucket(summed, reading.names) for _, summed in sorted(places.items())]


def _of_rows(rows: Sequence[Row[*tuple[Any, ...]]], names: Sequence[str]) -> list[Bucket]:
    """Buckets in which nothing was pruned, which are nearly all; made by quantity, because there are hundreds."""
    if not rows:
        return []
    _, firsts, lasts, counts, *sums = zip(*rows, strict=True)
    extents = [
        [
            Extent(lowest, highest, total / values) if values else None
            for values, lowest, highest, total in zip(*sums[at : at + 4], strict=True)
        ]
        for at in range(0, len(sums), 4)
    ]
    return [
        Bucket(first, last, count, dict(zip(names, of_all, strict=True)))
        for first, last, count, of_all in zip(firsts, lasts, counts, zip(*extents, strict=True), strict=True)
    ]


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
