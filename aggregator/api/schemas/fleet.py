"""The fleet in a few numbers, and its engines."""

from typing import Literal, Self

from pydantic import BaseModel, Field

from aggregator.api.schemas.engines import Engine
from aggregator.fleet.bands import THRESHOLDS, Band
from aggregator.fleet.liveness import LinkState
from aggregator.fleet.summary import Average, FleetSummary


class FleetCounts(BaseModel):
    """How many engines; the four bands add up to the total, and so do the four link states beside them."""

    total: int = Field(description="All engines but the retired ones.")
    critical: int
    warning: int
    healthy: int
    unknown: int = Field(description="Those without a prediction.")
    online: int
    stale: int = Field(description="Those whose gateway said that it is online, but is silent.")
    offline: int
    never_seen: int


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
    median: FleetAverage | None


class BandThresholds(BaseModel):
    """What the bands go by."""

    quantile: Literal["q50"] = "q50"
    critical_below_cycles: float = THRESHOLDS.critical_below_cycles
    warning_below_cycles: float = THRESHOLDS.warning_below_cycles


class Fleet(BaseModel):
    """The fleet now."""

    counts: FleetCounts
    rul: FleetRul
    thresholds: BandThresholds = BandThresholds()
    engines: list[Engine] = Field(description="All engines but the retired ones, by serial.")

    @classmethod
    def of(cls, summary: FleetSummary, engines: list[Engine]) -> Self:
        """Show a summary and the engines it is of."""
        return cls(
            counts=FleetCounts(
                total=summary.total,
                **{band.value: summary.bands[band] for band in Band},
                **{state.value: summary.links[state] for state in LinkState},
            ),
            rul=FleetRul(mean=FleetAverage.of(summary.mean), median=FleetAverage.of(summary.median)),
            engines=engines,
        )
