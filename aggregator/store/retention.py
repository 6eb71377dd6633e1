"""Prunes records that are older than they are to be kept: sums them up by day and deletes them, a few at a time.

Age goes by when the centre received a record. Each transaction is short, because on SQLite nothing is taken in
meanwhile, and complete: a record is in its table or in the sum of its day, whenever a prune ends.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from threading import Event
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Connection, Row, Table, delete, func, select

from aggregator.store.commit import against_races
from aggregator.store.database import Store, StoreError
from aggregator.store.lease import LEASE, end_lease, take_lease
from aggregator.store.partitions import drop_partitions
from aggregator.store.reads.buckets import QUANTITIES
from aggregator.store.roll_ups import Recorded, Summed, add_to_days, day_of
from aggregator.store.tables import Installation, Prediction, Telemetry, core

# What an engine that moves takes along, what explains its state, and what its page shows.
KEPT_FIRST_ROWS = 50
KEPT_LAST_ROWS = 100
PORTION = 500
TASK = "prune"

log = structlog.get_logger(__name__)

_installation = core(Installation)
_TABLES = {"telemetry": core(Telemetry), "prediction": core(Prediction)}


@dataclass(frozen=True, slots=True)
class Retention:
    """For how many days records are kept; None: for ever."""

    telemetry_days: int | None = None
    predictions_days: int | None = None

    def cutoffs(self, now: datetime) -> dict[str, datetime]:
        """By table, what was received before when is pruned; tables that keep everything are left out."""
        days = {"telemetry": self.telemetry_days, "prediction": self.predictions_days}
        return {table: now - timedelta(days=kept) for table, kept in days.items() if kept is not None}


def count_prunable(store: Store, retention: Retention, now: datetime) -> dict[str, int]:
    """How many records a prune would delete now, by table."""
    with store.engine.connect() as connection:
        return {
            table: sum(
                connection.scalar(select(func.count()).where(*which)) or 0
                for recorded in _recorded(connection, table, cutoff)
                if (which := _prunable(connection, recorded, cutoff)) is not None
            )
            for table, cutoff in retention.cutoffs(now).items()
        }


def prune(
    store: Store, retention: Retention, holder: str, now: Callable[[], datetime], stop: Event | None = None
) -> dict[str, int]:
    """Prune what is due, until done or told to stop. Returns how many records were, by table.

    Args:
        store: where.
        retention: what is to be kept.
        holder: who does it, a name that nobody else has.
        now: the clock.
        stop: set from another thread to make it end soon.

    Raises:
        StoreError: another aggregator is at it.
    """
    if not take_lease(store, TASK, holder, now()):
        raise StoreError("another aggregator is pruning the store at this moment; its log says how far it is")
    try:
        return {
            table: _prune_table(store, table, cutoff, Turn(store, holder, now, stop or Event()))
            for table, cutoff in retention.cutoffs(now()).items()
        }
    finally:
        end_lease(store, TASK, holder)


class Turn:
    """Who prunes, and whether it still may."""

    def __init__(self, store: Store, holder: str, now: Callable[[], datetime], stop: Event) -> None:
        self._store, self._holder, self._now = store, holder, now
        self._renewed_at = now()
        self.stop = stop

    def is_over(self) -> bool:
        """Whether somebody wants it to end, or has taken over."""
        if self._now() - self._renewed_at > LEASE / 2:
            self._renewed_at = self._now()
            if not take_lease(self._store, TASK, self._holder, self._renewed_at):
                return True
        return self.stop.is_set()


def _prune_table(store: Store, table: str, cutoff: datetime, turn: Turn) -> int:
    with store.engine.connect() as connection:
        due = list(_recorded(connection, table, cutoff))
    pruned = 0
    for recorded in due:
        if turn.is_over():
            return pruned
        pruned += _prune(store, recorded, cutoff, turn)
    if pruned:
        log.info("pruned", table=table, records=pruned, received_before=cutoff.isoformat())
    drop_partitions(store, table, cutoff)
    return pruned


def _recorded(connection: Connection, kind: str, cutoff: datetime) -> Iterator[Recorded]:
    """Whose records may be due. No index is by time: it would cost every record something, and this is rare."""
    table = _TABLES[kind]
    engines = select(table.c.engine_id).where(table.c.received_at < cutoff).distinct()
    for engine_id in sorted(connection.scalars(engines)):
        installations = select(_installation.c.id).where(_installation.c.engine_id == engine_id)
        for installation_id in connection.scalars(installations).all():
            yield Recorded(kind, engine_id, installation_id)


def _prune(store: Store, recorded: Recorded, cutoff: datetime, turn: Turn) -> int:
    with store.engine.connect() as connection:
        which = _prunable(connection, recorded, cutoff)
    pruned = 0
    while which is not None and not turn.is_over():
        began = time.monotonic()
        done = against_races(store, lambda connection, _: _prune_portion(connection, recorded, which))
        pruned += done
        if done < PORTION:
            break
        turn.stop.wait(time.monotonic() - began)  # so that ingest gets as much of the store as this does
    return pruned


def _prunable(connection: Connection, recorded: Recorded, cutoff: datetime) -> list[ColumnElement[bool]] | None:
    """Which records may go: not the first and the last ones of an installation."""
    table = _TABLES[recorded.kind]
    own = (table.c.engine_id == recorded.engine_id, table.c.installation_id == recorded.installation_id)
    cycles = select(table.c.cycle).where(*own).limit(1)
    first = connection.scalar(cycles.order_by(table.c.cycle).offset(KEPT_FIRST_ROWS - 1))
    last = connection.scalar(cycles.order_by(table.c.cycle.desc()).offset(KEPT_LAST_ROWS - 1))
    if first is None or last is None:
        return None
    return [*own, table.c.cycle > first, table.c.cycle < last, table.c.received_at < cutoff]


def _prune_portion(connection: Connection, recorded: Recorded, which: list[ColumnElement[bool]]) -> int:
    table = _TABLES[recorded.kind]
    rows = connection.execute(select(*_columns(table)).where(*which).order_by(table.c.cycle).limit(PORTION)).all()
    if not rows:
        return 0
    received = [row.received_at for row in rows]
    # PostgreSQL finds the partitions by the time, and the rows by the id.
    gone = table.c.id.in_([row.id for row in rows]), table.c.received_at.between(min(received), max(received))
    if connection.execute(delete(table).where(*gone)).rowcount != len(rows):
        raise StoreError("somebody else has pruned the same records at the same moment; nothing of these is done twice")
    days = _sum_up(recorded.kind, rows)
    if days:
        add_to_days(connection, recorded, days)
    return len(rows)


def _columns(table: Table) -> list[ColumnElement[Any]]:
    common = ("id", "cycle", "observed_at", "received_at")
    own = ("clock_unsynced", "channels") if table.name == "telemetry" else ("origin", *QUANTITIES)
    return [table.c[name] for name in (*common, *own)]


def _sum_up(kind: str, rows: Sequence[Row[*tuple[Any, ...]]]) -> dict[date, Summed]:
    """Sum rows up by day; predictions that somebody asked for are no part of an engine's history."""
    days: dict[date, Summed] = {}
    for row in rows:
        if kind == "telemetry":
            values, unsynced = row.channels, row.clock_unsynced
        elif row.origin == "edge":
            values, unsynced = {name: getattr(row, name) for name in QUANTITIES}, False
        else:
            continue
        day = day_of(row.observed_at, row.received_at, clock_unsynced=unsynced)
        one = Summed.of_one(row.cycle, values)
        if day in days:
            days[day].add(one)
        else:
            days[day] = one
    return days
