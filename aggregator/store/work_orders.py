"""Work orders: open, plan, start, finish and cancel them; each step is in the order's history and in the audit log."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypedDict

from sqlmodel import Session, col, select

from aggregator.access.roles import THIS_MACHINE, Caller, Role
from aggregator.fleet.alarms import Priority
from aggregator.fleet.work_orders import Conclusion, State, Step, after
from aggregator.store.alarm_actions import Acting, NoSuchAlarmError
from aggregator.store.audit import Change, audit
from aggregator.store.conclusions import Concluding
from aggregator.store.database import Store
from aggregator.store.installations import installation_at
from aggregator.store.outcomes import score_lives
from aggregator.store.registry import RegistryError, key_of, lock_engine
from aggregator.store.tables import Alarm, Engine, WorkOrder, WorkOrderChange
from aggregator.store.versions import check_version


class NoSuchWorkOrderError(RegistryError):
    """There is no work order of this id where whoever asks may do this."""


class TakenUpError(RegistryError):
    """A work order that is not finished sees to this alarm already."""


class WorkOrderEdit(TypedDict, total=False):
    """What can be edited of a work order; what is left out stays as it is."""

    reason: str
    priority: Priority
    planned_for: date | None
    parts_lead_time_days: int | None
    assigned_to: str | None


@dataclass(frozen=True, slots=True)
class NewWorkOrder:
    """Work that somebody wants done.

    Attributes:
        engine: the serial; None: that of the alarms.
        alarm_ids: the alarms that it is opened from, all of that engine; none where it is opened by hand.
        said: what is told of it; of reason and priority, what is left out is that of the most urgent alarm.
    """

    engine: str | None
    alarm_ids: tuple[int, ...]
    said: WorkOrderEdit


def open_work_order(store: Store, wanted: NewWorkOrder, now: datetime, *, by: Caller = THIS_MACHINE) -> int:
    """Open a work order; returns its id.

    Raises:
        NoSuchAlarmError: there is no such alarm where whoever asks is a technician.
        NoSuchEngineError: the engine is not registered, or elsewhere.
        ClosedAlarmError: nobody needs to act on one of the alarms any more.
        TakenUpError: another work order sees to one of them.
        RegistryError: the alarms are not of this engine, or there is neither engine nor alarm, or no reason.
    """
    with store.session(writes=True) as session:
        serials = {_serial_of(session, alarm_id, by) for alarm_id in wanted.alarm_ids}
        if wanted.engine is not None:
            serials.add(wanted.engine)
        if len(serials) != 1:
            raise RegistryError("a work order is for one engine: name it, or alarms of one engine")
        engine = lock_engine(session, serials.pop(), by, Role.TECHNICIAN)
        said: dict[str, Any] = _of_alarms(session, wanted.alarm_ids) | dict(wanted.said)
        if not said.get("reason"):
            raise RegistryError("a work order that is opened from no alarm needs a reason")
        hangs = installation_at(session, key_of(engine.id), now)
        order = WorkOrder(
            engine_id=key_of(engine.id),
            installation_id=None if hangs is None else hangs.id,
            opened_at=now,
            opened_by=by.name,
            state=after(State.OPEN, Step.EDITED, is_planned=said.get("planned_for") is not None),
            **({"priority": Priority.MEDIUM} | said),
        )
        session.add(order)
        session.flush()
        _note(session, order, engine, "opened", order.reason, now, by)
        _take_up(session, order, wanted.alarm_ids, Acting(store, now, by=by))
        session.commit()
        return key_of(order.id)


class Working:
    """Somebody who does something about work orders.

    Every method raises ``NoSuchWorkOrderError``; ``StepError`` where the order is past that step; and ``ChangedError``
    where it is in no version out of ``seen``.

    Args:
        store: where.
        by: who acts.
        now: when.
        seen: the versions of the work order that may be acted on; None for any.
    """

    def __init__(
        self, store: Store, now: datetime, seen: Collection[str] | None = None, *, by: Caller = THIS_MACHINE
    ) -> None:
        self._store, self._now, self._seen, self._by = store, now, seen, by
        self._acting = Acting(store, now, by=by)

    def edit(self, order_id: int, edit: WorkOrderEdit) -> None:
        """Plan it, or say more of it; with a date it is planned. To say the same once more changes nothing."""
        note = "; ".join(f"{name}: {'none' if value is None else value}" for name, value in edit.items())

        def change(_: Session, order: WorkOrder, __: Engine) -> bool:
            is_other = any(getattr(order, name) != value for name, value in edit.items())
            order.sqlmodel_update(dict(edit))
            return is_other

        self._do(order_id, Step.EDITED, note, change)

    def link(self, order_id: int, alarm_ids: Collection[int]) -> None:
        """Have it see to more alarms of its engine.

        Raises:
            NoSuchAlarmError, ClosedAlarmError, TakenUpError, RegistryError: as when it is opened from them.
        """
        note = f"alarms {', '.join(map(str, sorted(set(alarm_ids))))}"
        self._do(
            *(order_id, Step.LINKED, note),
            lambda session, order, _: _take_up(session, order, alarm_ids, self._acting),
        )

    def start(self, order_id: int) -> None:
        """Say that the work has begun."""
        self._do(order_id, Step.STARTED, None, lambda _, order, __: order.sqlmodel_update({"started_at": self._now}))

    def comment(self, order_id: int, text: str) -> None:
        """Add a comment."""
        self._do(order_id, Step.COMMENTED, text, lambda *_: None)

    def cancel(self, order_id: int, reason: str) -> None:
        """Say that the work will not be done; its alarms are nobody's again. This takes an engineer."""

        def change(session: Session, order: WorkOrder, _: Engine) -> None:
            order.closed_at = self._now
            for alarm_id in _open_alarms(session, order):
                self._acting.let_go(session, alarm_id, f"by work order {order.id}, which was cancelled")

        self._do(order_id, Step.CANCELLED, reason, change, Role.ENGINEER)

    def finish(self, order_id: int, conclusion: Conclusion, note: str | None = None) -> None:
        """Say that the work is done and what it has shown; its alarms are resolved by that.

        What the outcome says of the engine is entered in the same transaction: it comes off, or is as new.

        Raises:
            RegistryError: that cannot be, such as an overhaul before the last one.
        """

        def change(session: Session, order: WorkOrder, engine: Engine) -> None:
            Concluding(session, order, engine, self._now, by=self._by).enter(conclusion)
            order.closed_at = self._now
            for alarm_id in _open_alarms(session, order):
                self._acting.resolve_within(session, alarm_id, f"work order {order.id}: {_in_words(conclusion)}")
            session.flush()
            score_lives(session, order.engine_id, conclusion.at, self._now)

        self._do(order_id, Step.DONE, _told(conclusion, note), change)

    def correct(self, order_id: int, conclusion: Conclusion, reason: str) -> None:
        """Say that the outcome was another one; what it has set is taken back first. This takes an engineer.

        Raises:
            RegistryError: it cannot be taken back any more, or the other one cannot be.
        """

        def change(session: Session, order: WorkOrder, engine: Engine) -> None:
            since = min(conclusion.at, order.ended_at or conclusion.at)
            Concluding(session, order, engine, self._now, by=self._by).enter(conclusion)
            session.flush()
            score_lives(session, order.engine_id, since, self._now)

        self._do(order_id, Step.CORRECTED, _told(conclusion, reason), change, Role.ENGINEER)

    def _do(
        self,
        order_id: int,
        step: Step,
        note: str | None,
        change: Callable[[Session, WorkOrder, Engine], object],
        role: Role = Role.TECHNICIAN,
    ) -> None:
        with self._store.session(writes=True) as session:
            order, engine = self._find(session, order_id, role)
            check_version(order, self._seen)
            after(State(order.state), step, is_planned=False)
            before = _shown(order)
            if change(session, order, engine) is False:
                return
            order.state = after(State(order.state), step, is_planned=order.planned_for is not None)
            _note(session, order, engine, step, note, self._now, self._by, before)
            session.commit()

    def _find(self, session: Session, order_id: int, role: Role) -> tuple[WorkOrder, Engine]:
        """A work order and its engine, of which nobody else changes anything until this transaction ends."""
        query = select(Engine).join(WorkOrder, col(WorkOrder.engine_id) == Engine.id).where(WorkOrder.id == order_id)
        found = session.exec(query).one_or_none()
        if found is None or not self._by.may(role, found.site):
            raise NoSuchWorkOrderError(f"there is no work order {order_id}")
        engine = lock_engine(session, found.serial, self._by, role)
        return session.get_one(WorkOrder, order_id, populate_existing=True), engine


def _serial_of(session: Session, alarm_id: int, by: Caller) -> str:
    """The serial of the engine that an alarm is of."""
    query = select(Alarm.engine_id, Engine).outerjoin(Engine, col(Engine.id) == Alarm.engine_id)
    found = session.exec(query.where(Alarm.id == alarm_id)).one_or_none()
    if found is None or (found[1] is not None and not by.may(Role.TECHNICIAN, found[1].site)):
        raise NoSuchAlarmError(f"there is no alarm {alarm_id}")
    if found[1] is None:
        raise RegistryError(f"alarm {alarm_id} is of a gateway; a work order is for an engine")
    return str(found[1].serial)


def _of_alarms(session: Session, alarm_ids: Collection[int]) -> dict[str, Any]:
    """Reason and priority of the most urgent of some alarms."""
    alarms = session.exec(select(Alarm).where(col(Alarm.id).in_(alarm_ids)).order_by(col(Alarm.id))).all()
    if not alarms:
        return {}
    order = list(Priority)
    first = max(alarms, key=lambda alarm: order.index(Priority(alarm.priority)))
    return {"reason": f"{first.rule}: {first.reason}", "priority": first.priority}


def _take_up(session: Session, order: WorkOrder, alarm_ids: Collection[int], acting: Acting) -> None:
    for alarm_id in sorted(set(alarm_ids)):
        alarm = session.exec(select(Alarm).where(Alarm.id == alarm_id).with_for_update()).one_or_none()
        if alarm is None or alarm.engine_id != order.engine_id:
            raise NoSuchAlarmError(f"there is no alarm {alarm_id} of this engine")
        if alarm.work_order_id not in (None, order.id):
            raise TakenUpError(f"work order {alarm.work_order_id} sees to alarm {alarm_id} already")
        acting.take_up(session, alarm_id, key_of(order.id))


def _open_alarms(session: Session, order: WorkOrder) -> list[int]:
    query = select(Alarm.id).where(Alarm.work_order_id == order.id, col(Alarm.closed_at).is_(None))
    return [key_of(alarm_id) for alarm_id in session.exec(query.order_by(col(Alarm.id)))]


def _in_words(conclusion: Conclusion) -> str:
    done = "" if conclusion.remedy is None else f", {conclusion.remedy}"
    return f"{conclusion.outcome.replace('_', ' ')}{done}"


def _told(conclusion: Conclusion, note: str | None) -> str:
    return _in_words(conclusion) if note is None else f"{_in_words(conclusion)}: {note}"


def _note(
    session: Session,
    order: WorkOrder,
    engine: Engine,
    action: str,
    note: str | None,
    now: datetime,
    by: Caller,
    before: dict[str, Any] | None = None,
) -> None:
    session.add(WorkOrderChange(work_order_id=key_of(order.id), at=now, who=by.name, action=action, note=note))
    what = f"work order {order.id} of engine {engine.serial}"
    audit(session, by, now, Change(f"work_order.{action}", what, engine.site, before, _shown(order)))


def _shown(order: WorkOrder) -> dict[str, Any]:
    return order.model_dump(mode="json", exclude={"id", "engine_id", "opened_at", "opened_by"})
