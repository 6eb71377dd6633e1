"""Tables of alarms: their rules, the alarms themselves, and what became of each."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, UniqueConstraint, false, text
from sqlmodel import Field

from aggregator.store.tables.base import BigInt, Changing, Table, UtcDateTime

_OPEN = text("closed_at IS NULL")
_WHERE_UNROUTED: dict[str, Any] = {"sqlite_where": text("is_routed = 0"), "postgresql_where": text("NOT is_routed")}
_WHERE_OPEN: dict[str, Any] = {"sqlite_where": _OPEN, "postgresql_where": _OPEN}


class AlarmRule(Table, table=True):
    """A rule of one scope; ``site`` and ``type`` are empty where it is for all. ``condition`` has its kind in it."""

    __tablename__ = "alarm_rule"
    __table_args__ = (UniqueConstraint("name", "site", "type"),)

    id: int | None = Field(default=None, primary_key=True)
    name: str
    site: str = ""
    type: str = ""
    priority: str
    is_enabled: bool = True
    condition: dict[str, Any] = Field(sa_type=JSON)
    escalates_after_s: float | None = None


class Alarm(Changing, table=True):
    """One alarm of an engine or of a gateway, from when it was raised until nobody needs to look at it any more.

    It is active until ``cleared_at``, and open until ``closed_at``: once it is cleared and acknowledged, or resolved.
    Of one rule and engine or gateway at most one is open, which an index sees to. ``rule`` names the rule, which may
    have been edited or deleted since. It has had its priority since ``priority_at``, or since it was raised, where that
    is null.
    """

    __tablename__ = "alarm"
    __table_args__ = (
        Index("uq_alarm_engine_id_rule_open", "engine_id", "rule", unique=True, **_WHERE_OPEN),
        Index("uq_alarm_gateway_id_rule_open", "gateway_id", "rule", unique=True, **_WHERE_OPEN),
        Index("ix_alarm_id_open", "id", **_WHERE_OPEN),
        Index(None, "engine_id", "id"),
        Index(None, "gateway_id", "id"),
        Index(None, "work_order_id"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=BigInt)
    rule: str
    kind: str
    priority: str
    engine_id: int | None = Field(default=None, foreign_key="engine.id")
    gateway_id: int | None = Field(default=None, foreign_key="gateway.id")
    reason: str
    cycle: int | None = None
    raised_at: datetime = Field(sa_type=UtcDateTime)
    times_raised: int = 1
    cleared_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    acknowledged_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    acknowledged_by: str | None = None
    assigned_to: str | None = None
    shelved_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    closed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    resolution: str | None = None
    work_order_id: int | None = Field(default=None, sa_type=BigInt)
    priority_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    priority_set_by: str | None = None


class AlarmChange(Table, table=True):
    """What became of an alarm, and by whom; never edited, but for whether it was decided who is told of it."""

    __tablename__ = "alarm_change"
    __table_args__ = (
        Index(None, "alarm_id", "id"),
        Index("ix_alarm_change_id_unrouted", "id", **_WHERE_UNROUTED),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=BigInt)
    alarm_id: int = Field(foreign_key="alarm.id", sa_type=BigInt)
    at: datetime = Field(sa_type=UtcDateTime)
    who: str
    action: str
    note: str | None = None
    is_routed: bool = Field(default=False, exclude=True, sa_column_kwargs={"server_default": false()})
