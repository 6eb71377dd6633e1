"""PostgreSQL keeps telemetry and predictions by the month they were received in; this makes and drops the months.

The clock of a gateway may say anything, so it is the centre's that decides. What is received in a month that has no
partition goes to the default one, and moves once its month is made. SQLite has one table for each.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from aggregator.store.database import Store

PARTITIONED = ("telemetry", "prediction")
MONTHS_AHEAD = 3
LEFTOVERS_MAX = 10_000  # rows copied while everybody is kept out: a fraction of a second
PARTITION_LOCK = 7_305_012  # any number of our own, beside the one that migrations take

log = structlog.get_logger(__name__)

_PARTITIONS = text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = CAST(:parent AS regclass)")


def make_partitions(store: Store, now: datetime) -> list[str]:
    """Make sure that there are partitions for this month and the next ones; returns the names of new ones."""
    if store.is_sqlite:
        return []
    made: list[str] = []
    for parent in PARTITIONED:
        for month in months_from(now, MONTHS_AHEAD + 1):
            with store.writing() as connection:
                # One replica at a time, and none before it can see what another has made.
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": PARTITION_LOCK})
                name = f"{parent}_{month:%Y_%m}"
                if name not in _names(connection, parent):
                    _make(connection, parent, name, month)
                    made.append(name)
    if made:
        log.info("partitions_made", names=made)
    return made


def drop_partitions(store: Store, parent: str, before: datetime) -> list[str]:
    """Drop the partitions of months that ended before a time; what they still hold goes to the default one.

    One that still holds more than ``LEFTOVERS_MAX`` rows stays: to copy them would keep everybody out for long.

    Returns:
        The names of those that were; while somebody reads a table for long, none is.
    """
    if store.is_sqlite:
        return []
    with store.engine.connect() as connection:
        over = sorted(name for name in _names(connection, parent) if _ended(parent, name, before))
        kept = [name for name in over if _holds_much(connection, name)]
    if kept:
        log.info("partitions_kept", names=kept, rows_over=LEFTOVERS_MAX)
    dropped: list[str] = []
    for name in sorted(set(over).difference(kept)):
        try:
            with store.writing() as connection:
                _lock(connection, parent)
                connection.execute(text(f"ALTER TABLE {parent} DETACH PARTITION {name}"))
                connection.execute(text(f"INSERT INTO {parent} SELECT * FROM {name}"))  # noqa: S608  # PostgreSQL's own names
                connection.execute(text(f"DROP TABLE {name}"))
        except OperationalError as error:  # somebody reads for long: the next prune finds it again
            log.info("partition_busy", name=name, reason=str(error.orig))
            break
        dropped.append(name)
    if dropped:
        log.info("partitions_dropped", names=dropped)
    return dropped


def months_from(now: datetime, number: int) -> Iterator[datetime]:
    """The beginnings of so many months in a row, in UTC.

    >>> [f"{month:%Y-%m}" for month in months_from(datetime(2026, 11, 30, tzinfo=UTC), 3)]
    ['2026-11', '2026-12', '2027-01']
    """
    month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    for _ in range(number):
        yield month
        month = _next(month)


def _next(month: datetime) -> datetime:
    return (month + timedelta(days=31)).replace(day=1)


def _names(connection: Connection, parent: str) -> set[str]:
    return set(connection.scalars(_PARTITIONS, {"parent": parent}))


def _ended(parent: str, name: str, before: datetime) -> bool:
    try:
        month = datetime.strptime(name, f"{parent}_%Y_%m").replace(tzinfo=UTC)
    except ValueError:  # the default one
        return False
    return _next(month) <= before


def _holds_much(connection: Connection, name: str) -> bool:
    query = text(f"SELECT true FROM {name} OFFSET :most LIMIT 1")  # noqa: S608  # PostgreSQL's own names
    return connection.scalar(query, {"most": LEFTOVERS_MAX}) is not None


def _lock(connection: Connection, parent: str) -> None:
    """Keep everybody out, or give up soon: what waits here makes all ingest wait behind it."""
    connection.execute(text("SET LOCAL lock_timeout = '1s'"))
    connection.execute(text(f"LOCK TABLE {parent} IN ACCESS EXCLUSIVE MODE"))


def _make(connection: Connection, parent: str, name: str, month: datetime) -> None:
    """Make a partition apart, move what waits for it in the default one, and attach it."""
    span = {"first": month, "end": _next(month)}
    _lock(connection, parent)
    connection.execute(text(f"CREATE TABLE {name} (LIKE {parent} INCLUDING DEFAULTS)"))
    connection.execute(
        text(
            f"WITH moved AS (DELETE FROM {parent}_default "  # noqa: S608  # names of our own tables
            "WHERE received_at >= :first AND received_at < :end RETURNING *) "
            f"INSERT INTO {name} SELECT * FROM moved"
        ),
        span,
    )
    bounds = f"FROM ('{month.isoformat()}') TO ('{_next(month).isoformat()}')"
    connection.execute(text(f"ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES {bounds}"))
