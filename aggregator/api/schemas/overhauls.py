"""Overhauls: after which an engine is as new."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from aggregator.api.schemas.installations import InstallationId
from aggregator.api.schemas.names import AwareUtc
from aggregator.store.tables import Overhaul as OverhaulRow

AfterCycle = Annotated[
    int | None,
    Field(
        strict=True,
        ge=0,
        le=2**31 - 1,
        description="After which cycle of its source it was, where it hung at a gateway; its age counts from there.",
        examples=[205],
    ),
]


class Overhaul(BaseModel):
    """One overhaul of an engine."""

    epoch: int = Field(description="Which one it was, counted from 1: the engine's maintenance epoch since then.")
    at: datetime
    installation_id: InstallationId | None = Field(description="Where the engine hung then; null in the shop.")
    after_cycle: AfterCycle

    @classmethod
    def of(cls, row: OverhaulRow) -> Self:
        """Show an overhaul of the store."""
        return cls.model_validate(row, from_attributes=True)


class OverhaulList(BaseModel):
    """All overhauls of an engine, the last one first."""

    items: list[Overhaul]


class NewOverhaul(BaseModel):
    """An overhaul that was done."""

    model_config = ConfigDict(extra="forbid")

    at: AwareUtc | None = Field(default=None, description="When it was done; null: now.")
    after_cycle: AfterCycle = None
