"""The fleet in a few numbers."""

from typing import Self

from pydantic import BaseModel, Field

from aggregator.api.schemas.names import Name
from aggregator.api.selection import FieldsQuery
from aggregator.fleet.bands import Band, Quantile, Thresholds
from aggregator.fleet.liveness import LinkState
from aggregator.fleet.summary import Average, FleetSummary


class FleetCounts(BaseModel):
    """How many engines; the four bands add up to the total, and so do the four link states beside them."""

    total: int = Field(description="All engines but the retired ones.")
    critical: int = Field(description="By the band's stated quantile, as `thresholds` say.")
    warning: int = Field(description="The same.")
    healthy: int = Field(description="The same.")
    unknown: int = Field(description="Those without a prediction.")
    online: int = Field(description="Those that are heard from.")
    stale: int = Field(description="Those whose gateway said that it is online, but is silent.")
    offline: int = Field(description="Those whose gateway was stopped or lost its line.")
    never_seen: int = Field(description="Those that hang nowhere, or whose gateway was never heard from.")


class FleetAverage(BaseModel):
    """An average of the predicted medians of all engines that have one."""

    cycles: float = Field(description="In cycles; an engine at its model's cap counts as the cap.")
    at_cap: bool = Field(description="True: it rests on an engine at its model's cap and only says `at least`.")

    @classmethod
    def of(cls, average: Average | None) -> Self | None:
        """Show an average, if there is one."""
        return None if average is None else cls(cycles=average.cycles, at_cap=average.at_cap)


class FleetRul(BaseModel):
    """Averages of the predicted medians; null where no engine has a prediction."""

    mean: FleetAverage | None
    median: FleetAverage | None = Field(description="The same as p50.")
    p05: FleetAverage | None = Field(description="One engine in twenty has no more than this.")
    p25: FleetAverage | None
    p75: FleetAverage | None
    p95: FleetAverage | None


class BandThresholds(BaseModel):
    """What the bands go by, as it is set for the fleet."""

    quantile: Quantile = Field(description="Of each prediction, what is compared.")
    critical_below_cycles: float = Field(description="Below this an engine is critical.")
    warning_below_cycles: float = Field(description="From there to below this it is in the warning band.")


class Fleet(BaseModel):
    """The fleet now."""

    counts: FleetCounts
    rul: FleetRul
    thresholds: BandThresholds

    @classmethod
    def of(cls, summary: FleetSummary, thresholds: Thresholds) -> Self:
        """Show a summary."""
        return cls(
            counts=FleetCounts(
                total=summary.total,
                **{band.value: summary.bands[band] for band in Band},
                **{state.value: summary.links[state] for state in LinkState},
            ),
            rul=FleetRul(
                mean=FleetAverage.of(summary.mean),
                median=FleetAverage.of(summary.median),
                **{f"p{each:02}": FleetAverage.of(summary.percentiles.get(each)) for each in (5, 25, 75, 95)},
            ),
            thresholds=BandThresholds.model_validate(thresholds, from_attributes=True),
        )


class FleetQuery(FieldsQuery[Fleet]):
    """Which engines are counted."""

    site: Name | None = None
    type: str | None = Field(default=None, max_length=64, description="The kind of engine.", examples=["turbofan"])
