"""What receivers are told: decided from what became of alarms and work, kept until sent or given up, then forgotten."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import Connection, delete, exists, func, insert, literal, or_, select, update
from sqlmodel import Session, col
from sqlmodel import select as read

from aggregator.access.roles import THIS_MACHINE, Caller, Role
from aggregator.fleet.notifying import CALLS, GIVE_UP_AFTER, OF_THE_CENTRE, due_at, retry_in_s, wants
from aggregator.store.audit import Change, audit
from aggregator.store.database import Store
from aggregator.store.news import Happened, Show, has_news, take_news
from aggregator.store.receivers import wishes_of
from aggregator.store.tables import Alarm, Notification, Receiver, core

WAITING_MAX = 10_000
"""Of one receiver; beyond that the oldest are given up."""
MESSAGE_MAX = 500
"""Notifications in one message to people."""
EVENTS_MAX = 1
"""The same in one to machines, who want each event by itself."""
SENT_KEPT = timedelta(days=7)
DEAD_KEPT = timedelta(days=30)

_receiver, _notification = core(Receiver), core(Notification)
# Spelt out in the statement: by a parameter, a database cannot tell that the index of what waits will do.
_WAITING = _notification.c.state == literal("waiting", literal_execute=True)


class Due(NamedTuple):
    """What is to be sent to one receiver now, oldest first."""

    receiver: Receiver
    notifications: Sequence[Notification]


def has_work(session: Session, now: datetime) -> bool:
    """Whether there is anything to decide or to send."""
    connection = session.connection()
    return bool(connection.scalar(select(has_news()))) or bool(receivers_due(session, now))


def receivers_due(session: Session, now: datetime) -> list[int]:
    """The receivers that something is to be sent to now."""
    waiting = exists().where(_notification.c.receiver_id == _receiver.c.id, _WAITING, _notification.c.due_at <= now)
    is_ready = or_(_receiver.c.paused_until.is_(None), _receiver.c.paused_until <= now)
    query = select(_receiver.c.id).where(_receiver.c.is_enabled, is_ready, waiting)
    return list(session.connection().scalars(query))


def route(store: Store, now: datetime, show: Show) -> int:
    """Decide who is told of what became of alarms and work orders since the last time; some of it, where it is much.

    Args:
        store: where.
        now: when.
        show: how receivers are shown them.

    Returns:
        How many changes were looked at.
    """
    with store.session(writes=True) as session:
        happened = take_news(session, show)
        if not happened:
            return 0
        receivers = session.exec(read(Receiver).where(col(Receiver.is_enabled))).all()
        made = [row for receiver in receivers for row in _decide(session, receiver, happened, now)]
        connection = session.connection()
        if made:
            connection.execute(insert(_notification), made)
            for receiver_id in {row["receiver_id"] for row in made}:
                _bound(connection, receiver_id, now)
        session.commit()
        return len(happened)


def _decide(session: Session, receiver: Receiver, happened: Sequence[Happened], now: datetime) -> list[dict[str, Any]]:
    """What a receiver is told of what happened."""
    wishes = wishes_of(receiver)
    if wishes is None:
        return []
    digest_at = _digest_at(session, receiver, now) if wishes.digest_s is not None else None
    made: list[dict[str, Any]] = []
    for one in happened:
        if not wants(wishes, receiver.site, one.news):
            continue
        at = due_at(wishes, one.news, now, digest_at)
        if wishes.digest_s is not None and at > now:
            digest_at = digest_at or at
        waits = wishes.unacknowledged_for_s is not None and one.news.event in CALLS
        made.append(_row(receiver, one, now, at) | {"unless_acknowledged": waits})
    return made


def take_due(store: Store, receiver_id: int, now: datetime) -> Due | None:
    """Read what is to be sent to a receiver now, and withdraw what nobody needs to be told any more.

    Returns:
        None where there is nothing, or the receiver is not to be asked now.
    """
    while True:
        with store.session() as session:
            receiver = session.get(Receiver, receiver_id)
            if receiver is None or not receiver.is_enabled or (receiver.paused_until or now) > now:
                return None
            rows = _read_due(session, receiver, now)
            alarm_ids = {row.alarm_id for row in rows if row.alarm_id is not None}
            alarms = {row.id: row for row in session.exec(read(Alarm).where(col(Alarm.id).in_(alarm_ids)))}
            session.expunge_all()
        left = []
        needless: dict[str, list[int]] = {}
        for row in rows:
            why = _needless(row, alarms.get(row.alarm_id), now)
            if why is None:
                left.append(row)
            else:
                needless.setdefault(why, []).append(row.id or 0)
        for why, ids in needless.items():
            with store.writing() as connection:
                _set_ended(connection, ids, "withdrawn", now, why)
        if left or not rows:
            return Due(receiver, left) if left else None


def mark_sent(store: Store, due: Due, now: datetime) -> None:
    """Note that a receiver has taken what was sent."""
    with store.writing() as connection:
        _set_ended(connection, _ids(due), "sent", now, None)
        healthy = {"failures": 0, "paused_until": None, "problem": None}
        connection.execute(update(_receiver).where(_receiver.c.id == due.receiver.id).values(healthy))


def mark_refused(store: Store, due: Due, now: datetime, why: str) -> None:
    """Note that a receiver will never take what was sent: it is given up."""
    with store.writing() as connection:
        _set_ended(connection, _ids(due), "dead", now, why)
        problem = {"failures": 0, "paused_until": None, "problem": why}
        connection.execute(update(_receiver).where(_receiver.c.id == due.receiver.id).values(problem))


def mark_failed(store: Store, due: Due, now: datetime, why: str, retry_after_s: float | None = None) -> int:
    """Note that nothing could be sent: it is tried again later, and given up where it has waited for a day.

    Returns:
        How many were given up.
    """
    with store.writing() as connection:
        attempts = max(row.attempts for row in due.notifications) + 1
        again_at = now + timedelta(seconds=retry_in_s(attempts, retry_after_s))
        later = {"attempts": attempts, "error": why, "due_at": again_at}
        connection.execute(update(_notification).where(_notification.c.id.in_(_ids(due)), _WAITING).values(later))
        failures = due.receiver.failures + 1
        paused_until = now + timedelta(seconds=retry_in_s(failures, retry_after_s))
        pause = {"failures": failures, "paused_until": paused_until, "problem": why}
        connection.execute(update(_receiver).where(_receiver.c.id == due.receiver.id).values(pause))
        old = _notification.c.receiver_id == due.receiver.id, _WAITING, _notification.c.since <= now - GIVE_UP_AFTER
        given_up = {"state": "dead", "ended_at": now, "error": why}
        return connection.execute(update(_notification).where(*old).values(given_up)).rowcount


def send_again(
    store: Store, notification_ids: Collection[int], now: datetime, *, by: Caller = THIS_MACHINE
) -> list[int]:
    """Have what was given up sent again, under the same event id; returns which are, and leaves out the others."""
    sites = by.sites(Role.ADMIN)
    query = read(Notification, Receiver).join(Receiver, col(Receiver.id) == col(Notification.receiver_id))
    query = query.where(col(Notification.id).in_(sorted(set(notification_ids))), col(Notification.state) == "dead")
    if sites is not None:
        query = query.where(col(Receiver.site).in_(sorted(sites)))
    done: list[int] = []
    with store.session(writes=True) as session:
        for row, receiver in session.exec(query.order_by(col(Notification.id)).with_for_update()):
            row.sqlmodel_update({"state": "waiting", "since": now, "due_at": now, "attempts": 0, "ended_at": None})
            receiver.sqlmodel_update({"failures": 0, "paused_until": None})
            done.append(row.id or 0)
            what = f"notification {row.id} of receiver {receiver.name}"
            audit(session, by, now, Change("notification.send_again", what, receiver.site or None))
        session.commit()
    return done


def forget_old(store: Store, now: datetime) -> int:
    """Delete what was sent or withdrawn a week ago, and what was given up a month ago. Returns how many."""
    ended = _notification.c.ended_at
    is_dead = _notification.c.state == "dead"
    old = or_(ended < now - DEAD_KEPT, (ended < now - SENT_KEPT) & ~is_dead)
    with store.writing() as connection:
        return connection.execute(delete(_notification).where(old)).rowcount


def _row(receiver: Receiver, one: Happened, now: datetime, at: datetime) -> dict[str, Any]:
    return {
        "event_id": str(uuid4()),
        "receiver_id": receiver.id,
        "about": one.about,
        "event": one.news.event,
        "alarm_id": one.alarm_id,
        "content": one.content,
        "state": "waiting",
        "made_at": now,
        "since": at,
        "due_at": at,
        "attempts": 0,
    }


def _digest_at(session: Session, receiver: Receiver, now: datetime) -> datetime | None:
    """When the digest goes out that is being collected, if one is; what is tried again is in none."""
    collected = _notification.c.receiver_id == receiver.id, _WAITING, _notification.c.due_at > now
    query = select(func.min(_notification.c.due_at)).where(*collected, _notification.c.attempts == 0)
    found: datetime | None = session.connection().scalar(query)
    return found


def _bound(connection: Connection, receiver_id: int, now: datetime) -> None:
    waiting = _notification.c.receiver_id == receiver_id, _WAITING
    too_many = (connection.scalar(select(func.count()).where(*waiting)) or 0) - WAITING_MAX
    if too_many <= 0:
        return
    oldest = select(_notification.c.id).where(*waiting).order_by(_notification.c.id).limit(too_many)
    _set_ended(connection, list(connection.scalars(oldest)), "dead", now, f"{WAITING_MAX} newer ones wait")


def _read_due(session: Session, receiver: Receiver, now: datetime) -> Sequence[Notification]:
    due = col(Notification.receiver_id) == receiver.id, _WAITING, col(Notification.due_at) <= now
    query = read(Notification).where(*due)
    limit = EVENTS_MAX if receiver.kind == "cloudevents" else MESSAGE_MAX
    return session.exec(query.order_by(col(Notification.due_at), col(Notification.id)).limit(limit)).all()


def _needless(row: Notification, alarm: Alarm | None, now: datetime) -> str | None:
    """Why nobody needs to be told any more; None where somebody does."""
    if alarm is None or row.event not in OF_THE_CENTRE:
        return None
    if alarm.shelved_until is not None and alarm.shelved_until > now:
        return "the alarm was shelved before"
    if not row.unless_acknowledged:
        return None
    if alarm.acknowledged_at is not None:
        return "somebody acknowledged the alarm before"
    return None if alarm.cleared_at is None and alarm.closed_at is None else "the alarm was over before"


def _ids(due: Due) -> list[int]:
    return [row.id for row in due.notifications if row.id is not None]


def _set_ended(connection: Connection, ids: Sequence[int], state: str, now: datetime, why: str | None) -> None:
    ended = {"state": state, "ended_at": now, "error": why}
    connection.execute(update(_notification).where(_notification.c.id.in_(ids), _WAITING).values(ended))
