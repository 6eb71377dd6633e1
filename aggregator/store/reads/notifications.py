"""Reads what receivers were told, wait to be told, and were not."""

from collections import Counter, defaultdict
from typing import Literal, NamedTuple

from sqlmodel import Session, col, func, select

from aggregator.access.roles import Sites
from aggregator.store.tables import Notification, Receiver

State = Literal["waiting", "sent", "dead", "withdrawn"]


class NotificationRow(NamedTuple):
    """A notification, and the name of its receiver."""

    notification: Notification
    receiver: str


def list_notifications(
    session: Session,
    sites: Sites,
    state: State | None = None,
    receiver: str | None = None,
    after: int | None = None,
    limit: int | None = None,
) -> list[NotificationRow]:
    """Read what receivers of these sites are told, the latest first; ``after`` is the id to go on behind.

    Of receivers of all sites only where ``sites`` is not limited.
    """
    query = select(Notification, col(Receiver.name)).join(Receiver, col(Receiver.id) == Notification.receiver_id)
    if sites is not None:
        query = query.where(col(Receiver.site).in_(sorted(sites)))
    if state is not None:
        query = query.where(col(Notification.state) == state)
    if receiver is not None:
        its_id = select(Receiver.id).where(Receiver.name == receiver).scalar_subquery()
        query = query.where(col(Notification.receiver_id) == its_id)
    if after is not None:
        query = query.where(col(Notification.id) < after)
    return [NotificationRow(*row) for row in session.exec(query.order_by(col(Notification.id).desc()).limit(limit))]


def count_left(session: Session, sites: Sites) -> dict[int, Counter[str]]:
    """By the ids of receivers of these sites, how much of what they are told is ``waiting``, and how much ``dead``."""
    columns = col(Notification.receiver_id), col(Notification.state), func.count()
    query = select(*columns).where(col(Notification.state).in_(["waiting", "dead"]))
    if sites is not None:
        query = query.join(Receiver, col(Receiver.id) == Notification.receiver_id)
        query = query.where(col(Receiver.site).in_(sorted(sites)))
    found: dict[int, Counter[str]] = defaultdict(Counter)
    for receiver_id, state, count in session.exec(query.group_by(columns[0], columns[1])):
        found[receiver_id][state] = count
    return dict(found)
