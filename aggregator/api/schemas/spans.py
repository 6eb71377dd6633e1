"""Which part of an engine's history is wanted, how much of it, and in which form."""

from datetime import datetime
from typing import Annotated, Generic, Literal, NamedTuple

from pydantic import BaseModel, Field

from aggregator.api.paging import PageQuery
from aggregator.api.schemas.history import PredictionRecord, TelemetryBucket, TelemetryRow
from aggregator.api.schemas.names import AwareUtc
from aggregator.api.selection import FieldsQuery, Item

CYCLE_MAX = 2**31 - 1
CHANNELS_MAX = 64


class TelemetryLine(NamedTuple):
    """One cycle row as a line of CSV; `channels` stands for as many columns as there are channels."""

    cycle: int
    installation_id: str
    observed_at: datetime
    received_at: datetime
    clock_unsynced: bool
    channels: tuple[float | None, ...]


class PredictionLine(NamedTuple):
    """One prediction as a line of CSV; RUL in cycles, unclipped."""

    cycle: int
    installation_id: str
    observed_at: datetime
    predicted_at: datetime
    received_at: datetime
    rul_mean_cycles: float
    rul_q05_cycles: float
    rul_q50_cycles: float
    rul_q95_cycles: float
    cap_cycles: float
    model: str
    version: str
    sha256: str
    runtime: str
    origin: str


class SpanQuery(FieldsQuery[Item], Generic[Item]):
    """Which part of an engine's history is wanted."""

    from_cycle: int = Field(default=1, ge=1, le=CYCLE_MAX, description="The first cycle wanted.")
    to_cycle: int = Field(default=CYCLE_MAX, ge=1, le=CYCLE_MAX, description="The last cycle wanted, inclusive.")
    since: AwareUtc | None = Field(
        default=None,
        description="Only what was observed then or later, by the gateway's clock (`observed_at`).",
        examples=["2026-11-01T00:00:00Z"],
    )
    until: AwareUtc | None = Field(default=None, description="Only what was observed before.")
    installation_id: str | None = Field(
        default=None,
        pattern=r"^[0-9A-Za-z-]{1,64}$",
        description="Only what was recorded in this installation; counters start again with a new one.",
    )


class ChannelQuery(BaseModel):
    """Which channels are wanted."""

    channel: list[Annotated[str, Field(pattern=r'^[^"\x00-\x1f]{1,200}$')]] = Field(
        default=[], max_length=CHANNELS_MAX, description="May be given several times; without it, every channel."
    )


class HistoryQuery(SpanQuery[Item], PageQuery[Item], Generic[Item]):
    """Which part of an engine's history is wanted, and in what order."""

    order: Literal["asc", "desc"] = Field(default="asc", description="By cycle, rising or falling.")


class TelemetryQuery(HistoryQuery[TelemetryRow], ChannelQuery):
    """Which rows are wanted, and how much of them."""


class PredictionQuery(HistoryQuery[PredictionRecord]):
    """Which predictions are wanted, and how much of them."""

    include: Literal["input"] | None = Field(default=None, description="`input` adds the input tensor.")


class BucketQuery(SpanQuery[Item], Generic[Item]):
    """Which part of an engine's history is wanted as few points; without `installation_id`, of the latest one."""

    buckets: int = Field(default=500, ge=1, le=2000, description="How many at most, of the same number of cycles each.")


class TelemetryBucketQuery(BucketQuery[TelemetryBucket], ChannelQuery):
    """Which channels are wanted as few points; without `channel`, those of the latest row."""


class TelemetryFileQuery(SpanQuery[TelemetryLine], ChannelQuery):
    """Which rows are wanted in a file; without `channel`, the channels of the first one."""
