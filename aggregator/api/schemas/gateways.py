"""Gateways with their last status, and the messages that were set aside."""

from base64 import b64encode
from datetime import datetime
from typing import Self

import msgspec
from pydantic import BaseModel, Field

from aggregator.api.paging import Page
from aggregator.api.schemas.engines import Liveness
from aggregator.api.schemas.names import Name
from aggregator.fleet.liveness import liveness_of
from aggregator.store import tables
from aggregator.store.reads.fleet import signs_of
from shared.messages import Status


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
    source_state: str = Field(examples=["reading", "failed"])
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


class QuarantinedMessage(BaseModel):
    """A message or record that could not be used, and why."""

    id: int
    gateway: str = Field(description="As its topic says.")
    site: str = Field(description="As its topic says.")
    topic: str
    stream_id: str | None
    seq: int | None = Field(description="Null where the message was not even an envelope.")
    reason: str
    received_at: datetime
    body: str = Field(description="The bytes as they came, in base64.", json_schema_extra={"contentEncoding": "base64"})

    @classmethod
    def of(cls, message: tables.Quarantine) -> Self:
        """Show a quarantined message of the store."""
        return cls.model_validate({**message.model_dump(exclude={"body"}), "body": b64encode(message.body).decode()})


class QuarantinePage(Page[QuarantinedMessage]):
    """Part of what was quarantined."""

    given_up: int = Field(
        description="How many more there were, which the quarantine gave up to stay within its bound; counted since "
        "the store was made. Their senders are still answered the same."
    )


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
            "source_state": report.source.state,
            "last_error": report.source.last_error,
        }
    )
