"""Keeps the quarantine from filling the disk: what is too much is given up, from whoever holds most of it."""

import time
from collections.abc import Iterable
from typing import NamedTuple

import structlog
from sqlalchemy import Connection, delete, func, insert, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from aggregator.store.database import Store
from aggregator.store.tables import Quarantine, StoreFact, core

log = structlog.get_logger(__name__)

GIVEN_UP = "quarantine_given_up"  # the fact that counts, over all replicas and restarts
FILL_AGAIN = 0.9  # how full giving up leaves it, so that it is seldom needed
TELL_INTERVAL_S = 60.0

_kept = core(Quarantine)
_fact = core(StoreFact)
_SIZE = func.length(_kept.c.body) + func.length(_kept.c.topic) + func.length(_kept.c.reason)
# Taken first of all, because SQLite would sort whole bodies to group their sizes; and inside of whatever uses it,
# because SQLite's driver counts the rows of a statement that begins with DELETE only.
_sized = (
    select(_kept.c.id, _kept.c.gateway, _kept.c.seq.is_(None).label("malformed"), _SIZE.label("size_bytes"))
    .cte("sized", nesting=True)
    .prefix_with("MATERIALIZED")
)


class _Amount(NamedTuple):
    rows: int = 0
    size_bytes: int = 0


class QuarantineBound:
    """Gives up what the quarantine holds too much of; for one thread of each replica.

    Whoever holds most gives up first, so no gateway pushes out what the others left: its malformed messages, which
    nobody was answered for, and then its records, the oldest first. The ledger goes on answering for the latter.
    Replicas may exceed the bound together by what they set aside at the same instant.
    """

    def __init__(self, store: Store, max_rows: int, max_bytes: int) -> None:
        self._store = store
        self._most = _Amount(max_rows, max_bytes)
        self._held = _Amount()
        self._seen_id = 0
        self._untold = 0
        self._tell_at = 0.0

    def keep(self) -> int:
        """Look at what was set aside since the last time, and give up what is too much; returns how many rows.

        A database that cannot do it now is asked again the next time.
        """
        try:
            self._look()
            return self._give_up() if _exceeds(self._held, self._most) else 0
        except SQLAlchemyError as error:
            log.warning("quarantine_not_bounded", error=str(error))
            return 0

    def _look(self) -> None:
        query = select(func.max(_kept.c.id), func.count(), func.coalesce(func.sum(_SIZE), 0))
        with self._store.engine.connect() as connection:
            last_id, rows, size_bytes = connection.execute(query.where(_kept.c.id > self._seen_id)).one()
        self._seen_id = last_id or self._seen_id
        self._held = _Amount(self._held.rows + rows, self._held.size_bytes + int(size_bytes))

    def _give_up(self) -> int:
        self._held, self._seen_id = _Amount(), 0  # looked at afresh the next time
        with self._store.engine.connect() as connection:
            held = _amounts(connection)
        if not _exceeds(_Amount(*map(sum, zip(*held.values(), strict=True))), self._most):
            return 0  # another replica was faster
        rows, sizes = ([each[part] for each in held.values()] for part in (0, 1))
        level = _Amount(
            fair_level(rows, int(self._most.rows * FILL_AGAIN)),
            fair_level(sizes, int(self._most.size_bytes * FILL_AGAIN)),
        )
        with self._store.writing() as connection:
            before = _count_locked(connection)
            given_up = _delete_above(connection, level)
            connection.execute(update(_fact).where(_fact.c.key == GIVEN_UP).values(value=str(before + given_up)))
        self._tell(given_up, [gateway for gateway, each in held.items() if _exceeds(each, level)])
        return given_up

    def _tell(self, given_up: int, gateways: list[str]) -> None:
        self._untold += given_up
        if time.monotonic() >= self._tell_at:
            log.warning("quarantine_given_up", messages=self._untold, gateways=gateways[:10])
            self._untold, self._tell_at = 0, time.monotonic() + TELL_INTERVAL_S


def fair_level(sizes: Iterable[int], room: int) -> int:
    """The most that each may keep for all of them to fit; who has less keeps all of it.

    >>> fair_level([2, 50, 9], 20)
    9
    >>> fair_level([2, 50, 30], 20)
    9
    >>> fair_level([2, 3], 20)
    3
    """
    level = 0
    ascending = sorted(sizes)
    for place, level in enumerate(ascending):
        share = room // (len(ascending) - place)
        if level > share:
            return share
        room -= level
    return level


def _exceeds(held: _Amount, most: _Amount) -> bool:
    return held.rows > most.rows or held.size_bytes > most.size_bytes


def _count_locked(connection: Connection) -> int:
    """How many were given up so far; until this transaction ends no other replica gives up any."""
    query = select(_fact.c.value).where(_fact.c.key == GIVEN_UP).with_for_update()
    known = connection.scalar(query)
    if known is None:
        connection.execute(insert(_fact).values(key=GIVEN_UP, value="0"))
    return int(known or 0)


def _amounts(connection: Connection) -> dict[str, _Amount]:
    query = select(_sized.c.gateway, func.count(), func.sum(_sized.c.size_bytes)).group_by(_sized.c.gateway)
    return {gateway: _Amount(rows, int(size_bytes)) for gateway, rows, size_bytes in connection.execute(query)}


def _delete_above(connection: Connection, level: _Amount) -> int:
    """Delete of each gateway what lies above a level; what is dearest lies lowest."""
    rows, size_bytes = (
        amount.over(partition_by=_sized.c.gateway, order_by=(_sized.c.malformed, _sized.c.id.desc()), rows=(None, 0))
        for amount in (func.row_number(), func.sum(_sized.c.size_bytes))
    )
    height = select(_sized.c.id, rows.label("rows"), size_bytes.label("size_bytes")).subquery()
    above = select(height.c.id).where(or_(height.c.rows > level.rows, height.c.size_bytes > level.size_bytes))
    return connection.execute(delete(_kept).where(_kept.c.id.in_(above))).rowcount
