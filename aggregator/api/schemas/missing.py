"""Records that the centre has not got and that will not come."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from aggregator.api.paging import PageQuery
from aggregator.api.schemas.names import Name
from aggregator.store.reads.missing import Missing


class MissingRange(BaseModel):
    """Seqs in a row of one stream of a gateway that will not come, and why."""

    gateway: Name
    stream_id: str = Field(description="Its outbox at that time.", examples=["0d6b1f3c2a7e4c5d9b8a7f6e5d4c3b2a"])
    first_seq: int = Field(description="Of the gateway's stream of records.", examples=[201])
    last_seq: int = Field(description="The last one, itself missing too.", examples=[260])
    reason: str = Field(
        description="Why the gateway dropped them, in its own words; or that nobody holds them any more.",
        examples=["the outbox was full", "the gateway was asked for them and no longer has them"],
    )
    noticed_at: datetime = Field(description="When the centre learnt of it.")

    @classmethod
    def of(cls, missing: Missing) -> Self:
        """Show a missing range of the store."""
        return cls.model_validate(missing, from_attributes=True)


class MissingQuery(PageQuery[MissingRange]):
    """Whose missing records are wanted."""

    gateway: Name | None = None
