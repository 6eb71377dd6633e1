"""Why an engine is judged as it is: what has moved since its first rows."""

from collections.abc import Sequence
from typing import Self

from pydantic import BaseModel, Field

from aggregator.api.schemas.history import ModelReference
from aggregator.fleet.movement import Movement, Row


class RowSpan(BaseModel):
    """Some rows in a row."""

    first_cycle: int = Field(description="As their source counts.")
    last_cycle: int = Field(description="Inclusive.")
    rows: int = Field(description="How many there are.")

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Self:
        """Show which rows these are."""
        return cls(first_cycle=rows[0].cycle, last_cycle=rows[-1].cycle, rows=len(rows))


class ChannelMovement(BaseModel):
    """One channel, in standard deviations from what is usual in the operating condition of each row."""

    channel: str = Field(examples=["T30"])
    moved_sd: float = Field(description="How far it has come from the engine's own baseline; below 0: it fell.")
    baseline_sd: float = Field(description="Where it was: the mean over the first rows.")
    present_sd: float = Field(description="Where it is: the exponential mean over the latest rows.")

    @classmethod
    def of(cls, one: Movement) -> Self:
        """Show a movement."""
        return cls(channel=one.channel, moved_sd=one.moved, baseline_sd=one.baseline, present_sd=one.present)


class EngineWhy(BaseModel):
    """The channels of an engine by how far they have moved, the farthest first."""

    installation_id: str | None
    model: ModelReference | None = Field(description="By whose operating conditions and usual values it is told.")
    baseline: RowSpan | None = Field(description="The first rows of the installation, which it is compared with.")
    present: RowSpan | None = Field(description="The latest rows.")
    channels: list[ChannelMovement]
    unknown: str | None = Field(description="Why nothing can be told; null where something can.")
