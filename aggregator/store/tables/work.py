"""Tables of work orders, what became of each, and how predictions did where the outcome of one ended a life."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, Index, false, text
from sqlmodel import Field

from aggregator.store.tables.base import BigInt, Changing, Table, UtcDateTime

REMOVAL, OVERHAUL = "removal", "overhaul"
_OPEN = text("closed_at IS NULL")
_WHERE_UNROUTED: dict[str, Any] = {"sqlite_where": text("is_routed = 0"), "postgresql_where": text("NOT is_routed")}


class WorkOrder(Changing, table=True):
    """Work on one engine, from when somebody opened it until it is done or cancelled.

    ``installation_id`` says where the engine hung when it was opened. The ``ended_*`` columns say where and when the
    outcome holds, by the source's cycles; they are null where there is none, and the cycle where it hung nowhere yet.
    ``has_set`` tells what the outcome has set: ``removal`` or ``overhaul``; nothing where that was entered by itself.
    The alarms that it was opened from point to it (``alarm.work_order_id``).
    """

    __tablename__ = "work_order"
    __table_args__ = (
        Index("ix_work_order_id_open", "id", sqlite_where=_OPEN, postgresql_where=_OPEN),
        Index(None, "engine_id", "id"),
        Index(None, "closed_at"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=BigInt)
    engine_id: int = Field(foreign_key="engine.id")
    installation_id: str | None = Field(default=None, foreign_key="installation.id")
    state: str  # a fleet.work_orders.State
    priority: str
    reason: str
    planned_for: date | None = None
    parts_lead_time_days: int | None = None
    assigned_to: str | None = None
    opened_at: datetime = Field(sa_type=UtcDateTime)
    opened_by: str
    started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    closed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    outcome: str | None = None
    remedy: str | None = None
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    ended_installation_id: str | None = Field(default=None, foreign_key="installation.id")
    ended_cycle: int | None = None
    has_set: str | None = None


class WorkOrderChange(Table, table=True):
    """What became of a work order, and by whom; never edited, but for whether it was decided who is told of it."""

    __tablename__ = "work_order_change"
    __table_args__ = (
        Index(None, "work_order_id", "id"),
        Index("ix_work_order_change_id_unrouted", "id", **_WHERE_UNROUTED),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=BigInt)
    work_order_id: int = Field(foreign_key="work_order.id", sa_type=BigInt)
    at: datetime = Field(sa_type=UtcDateTime)
    who: str
    action: str
    note: str | None = None
    is_routed: bool = Field(default=False, exclude=True, sa_column_kwargs={"server_default": false()})


class EndedLife(Table, table=True):
    """A life of an engine whose end is known, by the work order whose outcome ended it.

    ``is_failure`` is false of one that ended by maintenance: how long it would have lasted, nobody knows. ``stretches``
    says what it was scored over, and ``alarms``, by rule, how many cycles (null where nobody knows) and days before the
    end its alarm was first raised.
    """

    __tablename__ = "ended_life"

    work_order_id: int = Field(foreign_key="work_order.id", primary_key=True, sa_type=BigInt)
    engine_id: int = Field(foreign_key="engine.id", index=True)
    is_failure: bool
    ended_at: datetime = Field(sa_type=UtcDateTime)
    stretches: list[tuple[str, int, int | None, int]] = Field(sa_type=JSON)
    cycles: int
    predictions: int
    alarms: dict[str, tuple[int | None, float]] = Field(sa_type=JSON)
    scored_at: datetime = Field(sa_type=UtcDateTime)


class LifeScore(Table, table=True):
    """How the predictions of one model did over one life that has ended.

    ``sums`` are those of ``fleet.scoring``, which add up over lives; ``leads`` has, by rule, how many cycles were left
    when these predictions would first have raised its alarm, null where they never would.
    """

    __tablename__ = "life_score"

    work_order_id: int = Field(foreign_key="ended_life.work_order_id", primary_key=True, sa_type=BigInt)
    model_id: int = Field(foreign_key="model.id", primary_key=True, sa_column_kwargs={"autoincrement": False})
    sums: dict[str, Any] = Field(sa_type=JSON)
    leads: dict[str, int | None] = Field(sa_type=JSON)
