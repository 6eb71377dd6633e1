"""Reads what has changed since: each thing once, as it is now, however often it changed."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Column, Select, func, select, union, union_all
from sqlmodel import Session

from aggregator.fleet.bands import Thresholds
from aggregator.fleet.liveness import silent_from
from aggregator.store import tables
from aggregator.store.changes import settled_before
from aggregator.store.reads.alarms import AlarmRow, alarms_written
from aggregator.store.reads.fleet import EngineFilter, EngineRow, list_engines
from aggregator.store.reads.gateways import find_gateways, list_signs
from aggregator.store.reads.work_orders import WorkOrderRow, work_orders_written
from aggregator.store.tables import Alarm, CurrentState, Engine, Gateway, Installation, Quarantine, WorkOrder, core

_engine, _gateway, _current = core(Engine), core(Gateway), core(CurrentState)
_installation, _quarantine = core(Installation), core(Quarantine)
_TABLES = _engine, _gateway, _current, _installation, _quarantine, core(Alarm), core(WorkOrder)


class GatewayChange(NamedTuple):
    """A gateway that was heard of or fell silent; ``last_record_at`` is of its engines, ``serials`` hang there now."""

    gateway: tables.Gateway
    last_record_at: datetime | None
    serials: frozenset[str]


class QuarantineChange(NamedTuple):
    """Messages of one gateway, and of one engine where they name one, that were set aside, or refused once more."""

    site: str
    gateway: str
    engine: str | None
    messages: int
    latest_id: int


class Changes(NamedTuple):
    """What has changed; of all that was written with a number below ``until``."""

    until: int
    engines: Sequence[EngineRow]
    gateways: Sequence[GatewayChange]
    quarantined: Sequence[QuarantineChange]
    alarms: Sequence[AlarmRow]
    work_orders: Sequence[WorkOrderRow]


def present(session: Session) -> int:
    """The number from which on nothing can be told yet."""
    return settled_before(session.connection())


def read_changes(session: Session, since: int, until: int, limit: int, thresholds: Thresholds) -> Changes:
    """Read what was written with numbers from ``since`` to below ``until``, those written first first.

    Args:
        session: of the store.
        since: the first number that is wanted.
        until: the number to end before, at most ``present``.
        limit: after so many rows only what their last transaction wrote is still told.
        thresholds: what bands go by.
    """
    until = _end(session, since, until, limit)
    gateway_ids = session.connection().scalars(_written(_gateway.c.id, since=since, until=until)).all()
    return Changes(
        until,
        _engines(session, since, until, thresholds),
        _gateways(session, gateway_ids),
        _quarantined(session, since, until),
        alarms_written(session, since, until),
        work_orders_written(session, since, until),
    )


def read_fallen_silent(session: Session, since: datetime, until: datetime) -> list[GatewayChange]:
    """Read the gateways of which so little was heard that they ceased to be online between two times."""
    silent = ((gateway_id, silent_from(signs)) for gateway_id, signs in list_signs(session))
    return _gateways(session, [gateway_id for gateway_id, at in silent if at is not None and since < at <= until])


def _end(session: Session, since: int, until: int, limit: int) -> int:
    """The number to end before: about as many rows as the limit then are told, and each transaction whole."""
    numbers = union_all(*(_written(table.c.changed, since=since, until=until) for table in _TABLES)).subquery()
    query = select(numbers.c.changed).order_by(numbers.c.changed).offset(limit).limit(1)
    found = session.connection().scalar(query)
    return until if found is None else max(found, since + 1)


def _engines(session: Session, since: int, until: int, thresholds: Thresholds) -> Sequence[EngineRow]:
    columns = _engine.c.id, _current.c.engine_id, _installation.c.engine_id
    ids = session.connection().scalars(union(*(_written(column, since=since, until=until) for column in columns))).all()
    return list_engines(session, None, EngineFilter(ids=tuple(ids), thresholds=thresholds)) if ids else ()


def _gateways(session: Session, ids: Sequence[int]) -> list[GatewayChange]:
    if not ids:
        return []
    query = (
        select(_installation.c.gateway_id, _engine.c.serial)
        .join(_engine, _engine.c.id == _installation.c.engine_id)
        .where(_installation.c.gateway_id.in_(ids), _installation.c.installed_to.is_(None))
    )
    serials: dict[int | None, set[str]] = defaultdict(set)
    for gateway_id, serial in session.connection().execute(query):
        serials[gateway_id].add(serial)
    return [
        GatewayChange(gateway, last_record_at, frozenset(serials[gateway.id]))
        for gateway, last_record_at in find_gateways(session, ids)
    ]


def _quarantined(session: Session, since: int, until: int) -> list[QuarantineChange]:
    what = _quarantine.c.site, _quarantine.c.gateway, _quarantine.c.engine
    query = _written(*what, since=since, until=until)
    query = query.add_columns(func.count(), func.max(_quarantine.c.id)).group_by(*what).order_by(*what)
    return [QuarantineChange(*row) for row in session.connection().execute(query)]


def _written(*columns: Column[Any], since: int, until: int) -> Select[Any]:
    changed = columns[0].table.c.changed
    return select(*columns).where(changed >= since, changed < until)
