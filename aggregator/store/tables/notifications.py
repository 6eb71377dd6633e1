"""Tables of who is told of alarms, and of what each of them is told."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, UniqueConstraint, text
from sqlmodel import Field

from aggregator.store.tables.base import BigInt, Table, UtcDateTime

_WAITING = text("state = 'waiting'")


class Receiver(Table, table=True):
    """Who is to be told of what; ``site`` is empty where it is of all sites.

    ``sealed`` has its URL and secret, which only the centre's key opens; ``via`` is what may be shown of them. How it
    has answered lately (``failures`` in a row, not asked again before ``paused_until``) is no part of what it says.
    """

    __tablename__ = "receiver"

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)
    site: str = ""
    kind: str
    via: str
    sealed: str
    is_enabled: bool = True
    wishes: dict[str, Any] = Field(sa_type=JSON)
    failures: int = Field(default=0, exclude=True)
    paused_until: datetime | None = Field(default=None, exclude=True, sa_type=UtcDateTime)
    problem: str | None = Field(default=None, exclude=True)


class Notification(Table, table=True):
    """One thing that one receiver is told, from when that was decided until some days after it was.

    ``event_id`` stays the same however often it is sent. ``about`` is what it tells of, such as ``alarm_change 17``,
    and keeps it from being decided twice; ``content`` is how that was then. ``state`` is ``waiting``, ``sent``,
    ``dead`` (given up) or ``withdrawn`` (nobody needs to be told any more).
    """

    __tablename__ = "notification"
    __table_args__ = (
        UniqueConstraint("receiver_id", "about"),
        Index(
            "ix_notification_receiver_id_due_at_waiting",
            "receiver_id",
            "due_at",
            sqlite_where=_WAITING,
            postgresql_where=_WAITING,
        ),
        Index(None, "receiver_id", "id"),
        Index(None, "state", "id"),
        Index(None, "ended_at"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=BigInt)
    event_id: str
    receiver_id: int = Field(foreign_key="receiver.id")
    about: str
    event: str
    alarm_id: int | None = Field(default=None, foreign_key="alarm.id", sa_type=BigInt)
    unless_acknowledged: bool = False
    content: dict[str, Any] = Field(sa_type=JSON)
    state: str = "waiting"
    made_at: datetime = Field(sa_type=UtcDateTime)
    since: datetime = Field(sa_type=UtcDateTime)
    due_at: datetime = Field(sa_type=UtcDateTime)
    attempts: int = 0
    error: str | None = None
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
