"""Reads alarms with what they are about, and what became of each."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, case, literal, tuple_
from sqlmodel import Session, col, func, or_, select
from sqlmodel.sql.expression import Select

from aggregator.access.roles import Sites
from aggregator.fleet.alarms import Priority
from aggregator.fleet.conditions import Kind
from aggregator.store.tables import Alarm, AlarmChange, Engine, Gateway

State = Literal["active", "cleared", "closed"]
AlarmOrder = Literal["latest", "priority"]


class AlarmRow(NamedTuple):
    """An alarm, what it is about, an engine's serial or a gateway's name, and where that is."""

    alarm: Alarm
    serial: str | None
    gateway: str | None
    site: str


@dataclass(frozen=True, slots=True)
class AlarmFilter:
    """Which alarms are wanted; None means any.

    Attributes:
        state: ``open`` is what is not closed.
        is_shelved_at: whether they are shelved, and when; by ``(True, now)`` those that are put aside now.
    """

    state: State | Literal["open"] | None = None
    priority: Priority | None = None
    kind: Kind | None = None
    site: str | None = None
    engine: str | None = None
    gateway: str | None = None
    is_acknowledged: bool | None = None
    is_shelved_at: tuple[bool, datetime] | None = None


class OpenAlarms(NamedTuple):
    """How many alarms are open by priority, and of those how many nobody has acknowledged."""

    by_priority: Counter[Priority]
    unseen: Counter[Priority]


EVERY_ALARM = AlarmFilter()
_RANKS = {priority.value: rank for rank, priority in enumerate(Priority)}
_RANK: ColumnElement[int] = case(_RANKS, value=col(Alarm.priority), else_=-1)
_SITE: ColumnElement[str] = func.coalesce(col(Engine.site), col(Gateway.site))


def list_alarms(
    session: Session,
    sites: Sites,
    wanted: AlarmFilter = EVERY_ALARM,
    after: tuple[int, int] | None = None,
    limit: int | None = None,
    order: AlarmOrder = "latest",
    *,
    turned: bool = False,
) -> list[AlarmRow]:
    """Read alarms of what is at these sites now, the latest first.

    Args:
        session: of the store.
        sites: the sites that may be seen.
        wanted: which ones.
        after: ``place_of_alarm`` of the one to go on behind.
        limit: how many at most.
        order: by ``priority`` the most urgent ones are first, and of those the latest.
        turned: whether the order is turned around.
    """
    by: list[Any] = [col(Alarm.id)] if order == "latest" else [_RANK, col(Alarm.id)]
    query = _every().where(*_conditions(sites, wanted)).limit(limit)
    query = query.order_by(*(column if turned else column.desc() for column in by))
    if after is not None:
        place: Any = by[0] if len(by) == 1 else tuple_(*by)
        reached: Any = after[1] if len(by) == 1 else tuple_(*(literal(value) for value in after))
        query = query.where(place > reached if turned else place < reached)
    return [AlarmRow(*row) for row in session.exec(query)]


def place_of_alarm(alarm: Alarm) -> tuple[int, int]:
    """What orders compare of an alarm."""
    return _RANKS.get(alarm.priority, -1), alarm.id or 0


def count_open(session: Session, sites: Sites) -> OpenAlarms:
    """Count the alarms that are open, of what is at these sites now."""
    columns: Any = (Alarm.priority, col(Alarm.acknowledged_at).is_(None), func.count())
    query = _joined(select(*columns)).where(*_conditions(sites, AlarmFilter(state="open")))
    every, unseen = Counter[Priority](), Counter[Priority]()
    for priority, is_unseen, count in session.exec(query.group_by(columns[0], columns[1])):
        every[Priority(priority)] += count
        unseen[Priority(priority)] += count if is_unseen else 0
    return OpenAlarms(every, unseen)


def find_alarm(session: Session, sites: Sites, alarm_id: int) -> AlarmRow | None:
    """Read one alarm of what is at these sites."""
    row = session.exec(_every().where(*_conditions(sites, EVERY_ALARM), col(Alarm.id) == alarm_id)).first()
    return None if row is None else AlarmRow(*row)


def alarms_by_id(session: Session, alarm_ids: Collection[int]) -> dict[int, AlarmRow]:
    """Read alarms of all sites."""
    rows = session.exec(_every().where(col(Alarm.id).in_(sorted(alarm_ids))))
    return {row.alarm.id or 0: row for row in (AlarmRow(*row) for row in rows)}


def list_alarm_changes(session: Session, alarm_id: int, limit: int) -> Sequence[AlarmChange]:
    """Read what became of an alarm, the latest last; of a long history its end."""
    query = select(AlarmChange).where(AlarmChange.alarm_id == alarm_id)
    return session.exec(query.order_by(col(AlarmChange.id).desc()).limit(limit)).all()[::-1]


def alarms_written(session: Session, since: int, until: int) -> list[AlarmRow]:
    """Read the alarms that were written by transactions with numbers from ``since`` to below ``until``."""
    changed = col(Alarm.changed)
    return [AlarmRow(*row) for row in session.exec(_every().where(changed >= since, changed < until))]


def _every() -> Select[Alarm, str | None, str | None, str]:
    columns: Any = (Alarm, col(Engine.serial), col(Gateway.name), _SITE)
    query: Select[Alarm, str | None, str | None, str] = _joined(select(*columns))
    return query


def _joined(query: Any) -> Any:
    return query.outerjoin(Engine, col(Engine.id) == Alarm.engine_id).outerjoin(
        Gateway, col(Gateway.id) == Alarm.gateway_id
    )


def _conditions(sites: Sites, wanted: AlarmFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    priority = None if wanted.priority is None else wanted.priority.value
    equal = ((col(Alarm.priority), priority), (col(Alarm.kind), wanted.kind), (_SITE, wanted.site))
    found += [column == value for column, value in equal if value is not None]
    if sites is not None:
        found.append(_SITE.in_(sorted(sites)))
    if wanted.engine is not None:
        found.append(col(Alarm.engine_id) == _key(Engine.id, Engine.serial, wanted.engine))
    if wanted.gateway is not None:
        found.append(col(Alarm.gateway_id) == _key(Gateway.id, Gateway.name, wanted.gateway))
    if wanted.is_acknowledged is not None:
        acknowledged = col(Alarm.acknowledged_at).is_not(None)
        found.append(acknowledged if wanted.is_acknowledged else ~acknowledged)
    if wanted.is_shelved_at is not None:
        is_shelved, now = wanted.is_shelved_at
        until = col(Alarm.shelved_until)
        found.append(until > now if is_shelved else or_(until.is_(None), until <= now))
    return found + _in_state(wanted.state)


def _in_state(state: State | Literal["open"] | None) -> list[ColumnElement[bool]]:
    is_open, is_active = col(Alarm.closed_at).is_(None), col(Alarm.cleared_at).is_(None)
    match state:
        case "open":
            return [is_open]
        case "active":
            return [is_open, is_active]
        case "cleared":
            return [is_open, ~is_active]
        case "closed":
            return [~is_open]
        case None:
            return []


def _key(key: Any, column: Any, value: str) -> Any:
    return select(key).where(column == value).scalar_subquery()
