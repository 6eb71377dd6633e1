"""Gateways with their last status, and as somebody registers them."""

from datetime import datetime
from typing import Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from aggregator.api.schemas.engines import Liveness
from aggregator.api.schemas.history import ModelReference
from aggregator.api.schemas.names import Name
from aggregator.fleet.liveness import liveness_of
from aggregator.store import tables
from aggregator.store.reads.fleet import signs_of
from shared.messages import Status, Waits


class GatewayStatus(BaseModel):
    """The last status message of a gateway."""

    event: str = Field(examples=["birth", "heartbeat", "stopped", "will"])
    session: int = Field(description="How many times its agent had been started.")
    agent_version: str
    sent_at: datetime = Field(description="By the gateway's clock; a last will carries when it was prepared.")
    received_at: datetime
    heartbeat_interval_s: float = Field(description="How often it promised to send a heartbeat, in seconds.")
    unacked_records: int = Field(description="Records in its outbox that the centre has not committed.")
    dead_letters: int = Field(description="Records that nobody could use, parked in its outbox.")
    dropped_records: int = Field(description="Records that it had to drop, by its policy.")
    parked_records: int = Field(description="Records that get no answer even alone, and are tried seldom.")
    outbox_used_bytes: int = Field(description="What of its outbox cannot be given up without a loss.")
    outbox_capacity_bytes: int = Field(description="How large its outbox may become.")
    outbox_hours_left: float | None = Field(
        description="For how many hours its outbox does without the centre, at the present rate; null without rows."
    )
    accepted_per_s: float = Field(description="Records per second over the last ten minutes.")
    sent_bytes: int | None = Field(
        description="Topics and payloads that it sent since its agent was started; the protocols below come on top. "
        "Null where its agent does not count."
    )
    received_bytes: int | None = Field(description="The same of what it received.")
    daily_budget_bytes: int | None = Field(
        description="Topics and payloads, in both directions, that it may exchange in a day (UTC); null for no limit."
    )
    budget_spent_bytes: int | None = Field(description="What of them is spent today.")
    budget_waits: Waits | None = Field(
        description="What it holds back until the next day for that: nothing, telemetry, the backlog as well, or all "
        "records. Heartbeats come as rarely as `heartbeat_interval_s` says."
    )
    model: ModelReference | None = Field(description="The model that it runs.")
    engines: list[str] = Field(description="The serials that it watches.")
    source_kind: str = Field(examples=["file", "mqtt"])
    source_state: str = Field(examples=["reading", "failed"])
    last_row_at: datetime | None = Field(description="When it took its last row, by its own clock.")
    refused_rows: int = Field(description="Rows of its source that it could not use.")
    last_error: str | None = Field(description="The last error of its sensor source.")


class Gateway(BaseModel):
    """One gateway."""

    name: Name
    site: Name
    liveness: Liveness
    last_record_at: datetime | None = Field(description="When the centre received its latest record.")
    status: GatewayStatus | None = Field(description="Null until it is first heard of.")

    @classmethod
    def of(cls, gateway: tables.Gateway, last_record_at: datetime | None, now: datetime) -> Self:
        """Show a gateway of the store."""
        return cls(
            name=gateway.name,
            site=gateway.site,
            liveness=Liveness.of(liveness_of(signs_of(gateway, last_record_at), now)),
            last_record_at=last_record_at,
            status=_status(gateway),
        )


class GatewayRegistration(BaseModel):
    """A gateway that is to be known."""

    model_config = ConfigDict(extra="forbid")

    name: Name = Field(description="Unique over all sites; its user name at the broker.", examples=["gw-7"])
    site: Name = Field(description="Where it stands; `centre` is reserved.", examples=["hamburg"])


def _status(gateway: tables.Gateway) -> GatewayStatus | None:
    if gateway.report is None:
        return None
    report = msgspec.convert(gateway.report, Status)
    return GatewayStatus.model_validate(
        {
            "event": gateway.event,
            "session": gateway.session_counter,
            "agent_version": gateway.agent_version,
            "sent_at": gateway.sent_at,
            "received_at": gateway.received_at,
            "heartbeat_interval_s": gateway.heartbeat_interval_s,
            "unacked_records": report.outbox.unacked,
            "dead_letters": report.outbox.dead_letters,
            "dropped_records": report.outbox.dropped,
            "parked_records": report.outbox.parked,
            "outbox_used_bytes": report.outbox.used_bytes,
            "outbox_capacity_bytes": report.outbox.capacity_bytes,
            "outbox_hours_left": report.outbox.hours_left,
            "accepted_per_s": report.outbox.accepted_per_s,
            "sent_bytes": None if report.traffic is None else report.traffic.sent_bytes,
            "received_bytes": None if report.traffic is None else report.traffic.received_bytes,
            "daily_budget_bytes": None if report.budget is None else report.budget.day_bytes,
            "budget_spent_bytes": None if report.budget is None else report.budget.spent_bytes,
            "budget_waits": None if report.budget is None else report.budget.waits,
            "model": None if report.model is None else msgspec.to_builtins(report.model),
            "engines": report.engines,
            "source_kind": report.source.kind,
            "source_state": report.source.state,
            "last_row_at": report.source.last_row_at,
            "refused_rows": report.source.refused_rows,
            "last_error": report.source.last_error,
        }
    )
