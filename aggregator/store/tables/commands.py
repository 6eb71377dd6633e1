"""The table of what people asked of gateways."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index
from sqlmodel import Field

from aggregator.store.tables.base import NullableJson, Table, UtcDateTime


class GatewayCommand(Table, table=True):
    """A command and what became of it; what the centre asks by itself of a gateway is not here.

    ``engine_id`` is of the engine that it is about, if it is about one; ``cycle`` of the prediction that answers it.
    ``outcome`` and ``reason`` are the gateway's words, null until it has answered; ``unavailable`` are the asked seqs
    that it no longer has.
    """

    __tablename__ = "gateway_command"
    __table_args__ = (Index(None, "gateway_id", "issued_at", "id"),)

    id: str = Field(primary_key=True)
    gateway_id: int = Field(foreign_key="gateway.id")
    engine_id: int | None = Field(default=None, foreign_key="engine.id")
    asked: dict[str, Any] = Field(sa_type=JSON)  # the order, as it went over the wire
    issued_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    outcome: str | None = None
    reason: str | None = None
    answered_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    unavailable: list[tuple[int, int]] | None = Field(default=None, sa_type=NullableJson)
    cycle: int | None = None
