"""Engines, gateways, and where which engine hangs."""

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import BigInteger, Index, text
from sqlmodel import Field

from aggregator.store.tables.base import Changing, NullableJson, UtcDateTime

EngineStatus = Literal["operational", "maintenance", "retired"]
_STILL = text("installed_to IS NULL")


class Engine(Changing, table=True):
    """An engine that somebody registered; nothing creates one by itself."""

    __tablename__ = "engine"

    id: int | None = Field(default=None, primary_key=True)
    serial: str = Field(unique=True)
    site: str
    type: str = "turbofan"
    status: str = "operational"  # an EngineStatus
    registered_at: datetime = Field(sa_type=UtcDateTime)
    cycles_per_day: float | None = None  # as somebody entered it, in the place of what is measured


class Gateway(Changing, table=True):
    """A gateway and the last status it sent; all of the latter is null until it is first heard of."""

    __tablename__ = "gateway"

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)
    site: str
    event: str | None = None
    session_counter: int | None = Field(default=None, sa_type=BigInteger)
    boot_nonce: str | None = None
    stream_id: str | None = None
    next_seq: int | None = Field(default=None, sa_type=BigInteger)
    heartbeat_interval_s: float | None = None
    agent_version: str | None = None
    sent_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    received_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    report: dict[str, Any] | None = Field(default=None, sa_type=NullableJson)


class Installation(Changing, table=True):
    """Where an engine hangs, from … to; ``installed_to`` is null while it still does.

    ``installation_cycle`` is the engine's age in cycles when it was hung there, null where nobody knows. That no two
    installations of an engine or of a position overlap is seen to by ``installations``; of those that last, by indexes.
    """

    __tablename__ = "installation"
    __table_args__ = (
        Index(
            "uq_installation_engine_id_still", "engine_id", unique=True, sqlite_where=_STILL, postgresql_where=_STILL
        ),
        Index(
            "uq_installation_position_still",
            *("gateway_id", "position"),
            unique=True,
            sqlite_where=_STILL,
            postgresql_where=_STILL,
        ),
        Index(None, "installed_from", "id"),
    )

    id: str = Field(primary_key=True)
    engine_id: int = Field(foreign_key="engine.id", index=True)
    gateway_id: int = Field(foreign_key="gateway.id", index=True)
    position: str
    installed_from: datetime = Field(sa_type=UtcDateTime)
    installed_to: datetime | None = Field(default=None, sa_type=UtcDateTime)
    installation_cycle: int | None = None
