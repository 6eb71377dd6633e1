"""Whether this process lives, and whether it can do its work."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field


class Live(BaseModel):
    """The process answers."""

    status: Literal["live"] = "live"


class IngestCounts(BaseModel):
    """What ingest has done since this process started."""

    committed_records: int = Field(description="Records that were new.")
    duplicate_records: int = Field(description="Records that were in the store already; to send again is normal.")
    quarantined_records: int = Field(description="Records that were refused and set aside.")
    given_up_messages: int = Field(
        description="Quarantined ones that were given up, because the quarantine is bounded."
    )
    unusable_messages: int = Field(
        description="Messages that not even the quarantine could take: dropped, and logged with their topics."
    )
    dropped_messages: int = Field(
        description="Messages that came faster than the store took them: gateways send such records again."
    )
    last_commit_at: datetime | None


class Ready(BaseModel):
    """The store takes writes and gives them back, and the broker is connected."""

    status: Literal["ready"] = "ready"
    broker_connected_since: datetime | None
    ingest: IngestCounts
