"""Raises and clears alarms, in the transaction of whatever gave the reason."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, insert, or_, select, update

from aggregator.fleet.alarms import Rule
from aggregator.store.tables import Alarm, AlarmChange, core

CENTRE = "the centre"
"""Who raises and clears alarms."""

_alarm, _change = core(Alarm), core(AlarmChange)


class Subject(NamedTuple):
    """What an alarm is about: an engine or a gateway, by the key of its row."""

    engine_id: int | None = None
    gateway_id: int | None = None


@dataclass(slots=True)
class _Open:
    id: int
    is_active: bool
    is_acknowledged: bool
    has_set_priority: bool = False


class OpenAlarms:
    """The open alarms of some engines and gateways, which nobody else changes until this transaction ends.

    Args:
        connection: in a transaction that writes.
        engine_ids: of the engines.
        gateway_ids: of the gateways.

    Raises:
        IntegrityError: by ``raise_``, where another replica has raised the same alarm at this moment; try again.
    """

    def __init__(
        self, connection: Connection, engine_ids: Collection[int] = (), gateway_ids: Collection[int] = ()
    ) -> None:
        self._connection = connection
        wanted: list[ColumnElement[bool]] = []
        if engine_ids:
            wanted.append(_alarm.c.engine_id.in_(list(engine_ids)))
        if gateway_ids:
            wanted.append(_alarm.c.gateway_id.in_(list(gateway_ids)))
        about = _alarm.c.rule, _alarm.c.engine_id, _alarm.c.gateway_id
        names = ("id", "cleared_at", "acknowledged_at", "priority_set_by")
        query = select(*about, *(_alarm.c[name] for name in names))
        query = query.where(_alarm.c.closed_at.is_(None), or_(*wanted)).order_by(_alarm.c.id)
        rows = connection.execute(query.with_for_update()).all() if wanted else []
        self._open = {
            (rule, Subject(engine_id, gateway_id)): _Open(key, cleared is None, seen is not None, set_by is not None)
            for rule, engine_id, gateway_id, key, cleared, seen, set_by in rows
        }

    def is_active(self, rule: str, subject: Subject) -> bool:
        """Whether this alarm is raised and not cleared."""
        one = self._open.get((rule, subject))
        return one is not None and one.is_active

    def raise_(self, rule: Rule, subject: Subject, at: datetime, reason: str, cycle: int | None = None) -> None:
        """Raise an alarm; one that is open is raised once more, and one that is active stays as it is.

        Raised once more it has the priority of its rule again, unless somebody has set another one.
        """
        one = self._open.get((rule.name, subject))
        if one is not None and one.is_active:
            return
        said = {"kind": rule.condition.kind, "reason": reason, "cycle": cycle}
        priority = {"priority": rule.priority.value}
        if one is None:
            row = {"rule": rule.name, "raised_at": at, "times_raised": 1, **subject._asdict(), **said, **priority}
            key: int = self._connection.execute(insert(_alarm).values(row).returning(_alarm.c.id)).scalar_one()
            one = self._open[rule.name, subject] = _Open(key, is_active=True, is_acknowledged=False)
        else:
            again: dict[str, Any] = {"cleared_at": None, "times_raised": _alarm.c.times_raised + 1, **said}
            if not one.has_set_priority:
                again |= {"priority_at": at, **priority}
            self._connection.execute(update(_alarm).where(_alarm.c.id == one.id).values(again))
            one.is_active = True
        self._note(one.id, at, "raised", reason)

    def clear(self, rule: str, subject: Subject, at: datetime, reason: str) -> None:
        """Clear an alarm that is active; one that was acknowledged is closed with it."""
        one = self._open.get((rule, subject))
        if one is None or not one.is_active:
            return
        closed_at = at if one.is_acknowledged else None
        values = {"cleared_at": at, "closed_at": closed_at}
        self._connection.execute(update(_alarm).where(_alarm.c.id == one.id).values(values))
        one.is_active = False
        if one.is_acknowledged:
            del self._open[rule, subject]
        self._note(one.id, at, "cleared", reason)

    def _note(self, alarm_id: int, at: datetime, action: str, note: str) -> None:
        row = {"alarm_id": alarm_id, "at": at, "who": CENTRE, "action": action, "note": note}
        self._connection.execute(insert(_change).values(row))
