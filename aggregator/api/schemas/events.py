"""What the live stream is asked for, and what it tells beside engines and gateways as lists show them."""

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from aggregator.api.schemas.names import Name
from aggregator.store.reads.changes import QuarantineChange

EventKind = Literal["engine", "gateway", "quarantine", "alarm", "work_order"]


class EventQuery(BaseModel):
    """What is to be told; without any of these, everything that the caller may see."""

    model_config = ConfigDict(extra="forbid")

    kind: list[EventKind] = Field(default=[], max_length=5, description="May be given several times.")
    site: Name | None = None
    engine: Name | None = Field(
        default=None, description="This engine, its gateway, alarms and work orders, and what is set aside of it."
    )


class StreamBegun(BaseModel):
    """The data of `start` and `reset`."""

    at: datetime = Field(description="What changed until then has to be read from the lists.")


class QuarantineNews(BaseModel):
    """The data of `quarantine`: messages that were set aside, or refused once more."""

    site: str = Field(description="As their topics say.")
    gateway: str = Field(description="As their topics say.")
    engine: str | None = Field(description="The serial that they name; null where it could not be read.")
    messages: int = Field(description="How many they are.")
    latest_id: int = Field(description="The `id` of the latest.")

    @classmethod
    def of(cls, change: QuarantineChange) -> Self:
        """Show what the store tells."""
        return cls.model_validate(change, from_attributes=True)
