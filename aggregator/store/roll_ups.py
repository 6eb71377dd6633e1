"""Sums up records by day as they are pruned: exactly, whatever comes when, because each is added as it goes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, astuple, dataclass, field, fields
from datetime import UTC, date, datetime, time
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, delete, insert, select

from aggregator.store.tables import DayRollUp, core

FIRST_CREDIBLE = datetime(2025, 1, 1, tzinfo=UTC)  # a clock that says less was never set

_day = core(DayRollUp)


@dataclass(slots=True)
class Sums:
    """One quantity: how many values, between what, and their sum."""

    count: int
    min: float
    max: float
    sum: float

    def add(self, other: "Sums") -> None:
        """Count others in."""
        self.count += other.count
        self.min, self.max = min(self.min, other.min), max(self.max, other.max)
        self.sum += other.sum


@dataclass(slots=True)
class Summed:
    """Some records, summed up; a quantity that none of them has is left out."""

    first_cycle: int
    last_cycle: int
    rows: int
    quantities: dict[str, Sums] = field(default_factory=dict)

    @classmethod
    def of_one(cls, cycle: int, values: Mapping[str, float | None]) -> "Summed":
        """A single record."""
        extents = {name: Sums(1, value, value, value) for name, value in values.items() if value is not None}
        return cls(cycle, cycle, 1, extents)

    def add(self, other: "Summed") -> None:
        """Count others in; they are not used any more."""
        self.first_cycle = min(self.first_cycle, other.first_cycle)
        self.last_cycle = max(self.last_cycle, other.last_cycle)
        self.rows += other.rows
        for name, extent in other.quantities.items():
            if name in self.quantities:
                self.quantities[name].add(extent)
            else:
                self.quantities[name] = extent


@dataclass(frozen=True, slots=True)
class Recorded:
    """Records of one kind that an engine made in one installation."""

    kind: str
    engine_id: int
    installation_id: str


def day_of(observed_at: datetime, received_at: datetime, *, clock_unsynced: bool) -> date:
    """The day, in UTC, that a record counts for: when it was observed, or received where that cannot be right.

    >>> noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    >>> str(day_of(datetime(1970, 1, 1, tzinfo=UTC), noon, clock_unsynced=False))
    '2026-11-21'
    """
    is_plausible = not clock_unsynced and FIRST_CREDIBLE <= observed_at <= received_at
    return (observed_at if is_plausible else received_at).astimezone(UTC).date()


def add_to_days(connection: Connection, recorded: Recorded, days: Mapping[date, Summed]) -> None:
    """Count records in that are pruned in the same transaction.

    Raises:
        IntegrityError: another transaction began the same day; this one is to be tried again.
    """
    begun = select(_day).where(*_is(recorded), _day.c.day.in_(days)).order_by(_day.c.day).with_for_update()
    known = dict(_days(connection.execute(begun)))
    for day, summed in known.items():
        days[day].add(summed)
    connection.execute(delete(_day).where(*_is(recorded), _day.c.day.in_(known)))
    connection.execute(insert(_day), [_row(recorded, day, summed) for day, summed in days.items()])


_DAYS = (
    select(_day)
    .where(
        *(_day.c[each.name] == bindparam(each.name) for each in fields(Recorded)),
        _day.c.first_cycle.between(bindparam("from_cycle"), bindparam("to_cycle")),
    )
    .order_by(_day.c.day)
)


def read_days(
    connection: Connection,
    recorded: Recorded,
    from_cycle: int,
    to_cycle: int,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Summed]:
    """What was pruned, by day; a day counts where it begins, by its first cycle and its midnight."""
    span = {"from_cycle": from_cycle, "to_cycle": to_cycle}
    days = _days(connection.execute(_DAYS, asdict(recorded) | span).all())
    return [one for day, one in days if _begins_within(day, since, until)]


def _begins_within(day: date, since: datetime | None, until: datetime | None) -> bool:
    midnight = datetime.combine(day, time(), UTC)
    return (since is None or since <= midnight) and (until is None or midnight < until)


def _days(rows: Iterable[Row[*tuple[Any, ...]]]) -> Iterator[tuple[date, Summed]]:
    for row in rows:
        quantities = {name: Sums(*extent) for name, extent in row.quantities.items()}
        yield row.day, Summed(row.first_cycle, row.last_cycle, row.rows, quantities)


def _is(recorded: Recorded) -> list[ColumnElement[bool]]:
    return [_day.c[name] == value for name, value in asdict(recorded).items()]


def _row(recorded: Recorded, day: date, summed: Summed) -> dict[str, Any]:
    return (
        asdict(recorded)
        | {"day": day}
        | asdict(summed)
        | {"quantities": {name: astuple(extent) for name, extent in summed.quantities.items()}}
    )
