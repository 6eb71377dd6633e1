"""What people do about alarms: acknowledge, shelve, prioritise, resolve and so on; each is in the alarm's history."""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from aggregator.access.roles import THIS_MACHINE, Caller, Role
from aggregator.fleet.alarms import Priority
from aggregator.store.audit import Change, audit
from aggregator.store.database import Store
from aggregator.store.registry import RegistryError
from aggregator.store.tables import Alarm, AlarmChange, Engine, Gateway
from aggregator.store.versions import check_version

_SHOWN = {
    *("acknowledged_at", "acknowledged_by", "assigned_to", "shelved_until", "closed_at", "resolution"),
    *("work_order_id", "priority", "priority_set_by"),
}


class NoSuchAlarmError(RegistryError):
    """There is no alarm of this id where whoever asks is a technician."""


class ClosedAlarmError(RegistryError):
    """Nobody needs to act on this alarm any more."""


class Acting:
    """Somebody who does something about alarms.

    Every method raises ``NoSuchAlarmError``, and ``ChangedError`` where the alarm is in no version out of ``seen``;
    all but ``comment`` raise ``ClosedAlarmError``.

    Args:
        store: where.
        by: who acts.
        now: when.
        seen: the versions of the alarm that may be acted on; None for any.
    """

    def __init__(
        self, store: Store, now: datetime, seen: Collection[str] | None = None, *, by: Caller = THIS_MACHINE
    ) -> None:
        self._store, self._now, self._seen, self._by = store, now, seen, by

    def acknowledge(self, alarm_id: int) -> None:
        """Say that somebody has seen it; one that is cleared is closed by that. Twice changes nothing."""
        self._act(alarm_id, "acknowledged", None, self._acknowledge)

    def acknowledge_all(self, alarm_ids: Collection[int]) -> list[int]:
        """Acknowledge many at once; returns which were, and leaves out whatever cannot be."""
        done: list[int] = []
        with self._store.session(writes=True) as session:
            for alarm_id in sorted(set(alarm_ids)):
                try:
                    if self._do(session, alarm_id, "acknowledged", None, self._acknowledge):
                        done.append(alarm_id)
                except (NoSuchAlarmError, ClosedAlarmError):
                    continue
            session.commit()
        return done

    def shelve(self, alarm_id: int, until: datetime | None) -> None:
        """Put it aside until then, so that nobody is told of it; None takes it back."""
        note = None if until is None else f"until {until:%Y-%m-%dT%H:%M:%SZ}"
        self._act(
            *(alarm_id, "unshelved" if until is None else "shelved", note),
            lambda alarm: _set(alarm, shelved_until=until),
        )

    def assign(self, alarm_id: int, to: str | None) -> None:
        """Say who sees to it; None: nobody in particular."""
        self._act(alarm_id, "assigned", to, lambda alarm: _set(alarm, assigned_to=to))

    def prioritise(self, alarm_id: int, priority: Priority, reason: str) -> None:
        """Set its priority for a reason; neither its rule nor its age changes that any more."""

        def change(alarm: Alarm) -> bool:
            if alarm.priority == priority.value and alarm.priority_set_by is not None:
                return False
            return _set(alarm, priority=priority.value, priority_at=self._now, priority_set_by=self._by.name)

        self._act(alarm_id, "prioritised", f"to {priority}: {reason}", change)

    def comment(self, alarm_id: int, text: str) -> None:
        """Add a comment."""
        self._act(alarm_id, "commented", text, lambda _: True)

    def resolve(self, alarm_id: int, reason: str) -> None:
        """Close it for a reason; if that for which it was raised lasts, another one is raised like the first."""
        self._act(alarm_id, "resolved", reason, lambda alarm: self._resolve(alarm, reason))

    def take_up(self, session: Session, alarm_id: int, work_order_id: int) -> None:
        """Have a work order see to it, in the transaction of that; whoever does has seen it."""

        def change(alarm: Alarm) -> bool:
            self._acknowledge(alarm)
            return _set(alarm, work_order_id=work_order_id)

        self._do(session, alarm_id, "taken_up", f"by work order {work_order_id}", change)

    def let_go(self, session: Session, alarm_id: int, note: str) -> None:
        """Have no work order see to it any more, in the transaction that cancels that."""
        self._do(session, alarm_id, "let_go", note, lambda alarm: _set(alarm, work_order_id=None))

    def resolve_within(self, session: Session, alarm_id: int, reason: str) -> None:
        """Close it for a reason, in the transaction of what that is."""
        self._do(session, alarm_id, "resolved", reason, lambda alarm: self._resolve(alarm, reason))

    def _act(self, alarm_id: int, action: str, note: str | None, change: Callable[[Alarm], bool]) -> None:
        with self._store.session(writes=True) as session:
            self._do(session, alarm_id, action, note, change)
            session.commit()

    def _do(
        self, session: Session, alarm_id: int, action: str, note: str | None, change: Callable[[Alarm], bool]
    ) -> bool:
        """Change an alarm and note it; returns whether there was anything to change."""
        alarm, subject, site = self._find(session, alarm_id)
        check_version(alarm, self._seen)
        if alarm.closed_at is not None and action != "commented":
            raise ClosedAlarmError(f"alarm {alarm_id} was closed at {alarm.closed_at:%Y-%m-%dT%H:%M:%SZ}")
        before = _shown(alarm)
        if not change(alarm):
            return False
        session.add(AlarmChange(alarm_id=alarm_id, at=self._now, who=self._by.name, action=action, note=note))
        what = f"alarm {alarm.rule} of {subject}"
        audit(session, self._by, self._now, Change(f"alarm.{action}", what, site, before, _shown(alarm)))
        return True

    def _acknowledge(self, alarm: Alarm) -> bool:
        if alarm.acknowledged_at is not None:
            return False
        closed_at = None if alarm.cleared_at is None else self._now
        return _set(alarm, acknowledged_at=self._now, acknowledged_by=self._by.name, closed_at=closed_at)

    def _resolve(self, alarm: Alarm, reason: str) -> bool:
        return _set(alarm, closed_at=self._now, resolution=reason)

    def _find(self, session: Session, alarm_id: int) -> tuple[Alarm, str, str]:
        """An alarm that nobody else changes until this transaction ends, what it is about, and where that is."""
        alarm = session.exec(select(Alarm).where(col(Alarm.id) == alarm_id).with_for_update()).one_or_none()
        if alarm is not None:
            subject, site = _about(session, alarm)
            if self._by.may(Role.TECHNICIAN, site):
                return alarm, subject, site
        raise NoSuchAlarmError(f"there is no alarm {alarm_id}")


def _about(session: Session, alarm: Alarm) -> tuple[str, str]:
    if alarm.engine_id is not None:
        engine = session.get_one(Engine, alarm.engine_id)
        return f"engine {engine.serial}", engine.site
    gateway = session.get_one(Gateway, alarm.gateway_id)
    return f"gateway {gateway.name}", gateway.site


def _set(alarm: Alarm, **values: Any) -> bool:
    """Set columns; returns whether any of them changes."""
    changes = any(getattr(alarm, name) != value for name, value in values.items())
    alarm.sqlmodel_update(values)
    return changes


def _shown(alarm: Alarm) -> dict[str, Any]:
    return alarm.model_dump(mode="json", include=_SHOWN)
