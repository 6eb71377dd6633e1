"""Messages that were refused and set aside, and what becomes of them when they are redriven."""

from base64 import b64encode
from datetime import datetime
from typing import Any, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from aggregator.api.paging import Page, PageQuery
from aggregator.api.schemas.names import Name
from aggregator.store.tables import Quarantine

REDRIVE_MAX = 500


class QuarantinedMessage(BaseModel):
    """A message or record that could not be used, and why."""

    id: int = Field(description="Names it for good; what was set aside later has a higher one.")
    gateway: str = Field(description="As its topic says.")
    site: str = Field(description="As its topic says.")
    topic: str
    stream_id: str | None
    seq: int | None = Field(description="Null where the message was not even an envelope.")
    engine: str | None = Field(description="The serial that the record names; null where it could not be read.")
    reason: str = Field(description="Why it was refused when it was last tried.")
    received_at: datetime
    size_bytes: int = Field(description="How long its bytes are; look at it alone to get them.")

    @classmethod
    def of(cls, message: Quarantine) -> Self:
        """Show a quarantined message of the store."""
        return cls(**message.model_dump(exclude={"body", "digest"}), size_bytes=len(message.body))


class QuarantinedContent(QuarantinedMessage):
    """A quarantined message with what it holds."""

    body: str = Field(description="The bytes as they came, in base64.", json_schema_extra={"contentEncoding": "base64"})
    content: Any = Field(description="The same read as JSON; null where it is none.")

    @classmethod
    def of(cls, message: Quarantine) -> Self:
        """Show a quarantined message of the store with what it holds."""
        shown = QuarantinedMessage.of(message).model_dump()
        return cls(**shown, body=b64encode(message.body).decode(), content=_read(message.body))


class QuarantinePage(Page[QuarantinedMessage]):
    """Part of what was quarantined."""

    given_up: int | None = Field(
        description="How many more there were, which the quarantine gave up to stay within its bound; counted since "
        "the store was made, over all sites: null for who may not see all. Their senders are still answered the same."
    )


class QuarantineQuery(PageQuery[QuarantinedMessage]):
    """Which quarantined messages are wanted."""

    gateway: Name | None = None
    engine: Name | None = Field(default=None, description="Records that name this engine.")


class Redrive(BaseModel):
    """Which quarantined messages are to be tried again, the oldest first."""

    model_config = ConfigDict(extra="forbid")

    gateway: Name | None = None
    engine: Name | None = Field(default=None, description="Records that name this engine.")
    cursor: str | None = Field(default=None, max_length=500, description="`next` of the answer before.")
    limit: int = Field(default=REDRIVE_MAX, strict=True, ge=1, le=REDRIVE_MAX, description="How many messages at most.")


class Redriven(BaseModel):
    """What became of messages that were tried again."""

    taken: int = Field(description="How many are no longer in the quarantine.")
    refused: int = Field(description="How many stay there, each with the reason of this try.")
    next: str | None = Field(description="The `cursor` to go on with; null where all have been tried.")


def _read(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):  # msgspec's own errors are ValueErrors
        return None
