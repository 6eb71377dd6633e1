"""The fleet in a few numbers: engines per band, links beside them, and mean and percentiles of the medians."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import fmean

from aggregator.fleet.bands import Band
from aggregator.fleet.liveness import LinkState
from aggregator.fleet.rul import Rul

PERCENTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True, slots=True)
class Average:
    """A mean or percentile over engines, in cycles; at the cap it is only known to be at least this."""

    cycles: float
    at_cap: bool


@dataclass(frozen=True, slots=True)
class FleetSummary:
    """Counts of engines per band and per link state; mean and ``PERCENTILES`` of their predicted medians, if any."""

    total: int
    bands: Counter[Band]
    links: Counter[LinkState]
    mean: Average | None
    percentiles: Mapping[int, Average]

    @property
    def median(self) -> Average | None:
        """Half of the engines have no more."""
        return self.percentiles.get(50)


def summarise(engines: Iterable[tuple[Band, LinkState, Rul | None]]) -> FleetSummary:
    """Count the engines and average the medians of those that have a prediction."""
    seen = list(engines)
    ruls = sorted((rul for _, _, rul in seen if rul is not None), key=lambda rul: rul.q50)
    return FleetSummary(
        total=len(seen),
        bands=Counter(band for band, _, _ in seen),
        links=Counter(link for _, link, _ in seen),
        mean=_average(ruls),
        percentiles={percent: _percentile(ruls, percent) for percent in PERCENTILES if ruls},
    )


def _percentile(ruls: Sequence[Rul], percent: int) -> Average:
    """Linear between the two nearest of some medians that are sorted."""
    place = (len(ruls) - 1) * percent / 100
    low, high = ruls[int(place)], ruls[ceil(place)]
    share = place - int(place)
    below, above = low.clipped(low.q50), high.clipped(high.q50)
    return Average(below + share * (above - below), high.at_cap(high.q50))


def _average(ruls: Sequence[Rul]) -> Average | None:
    """The mean of some medians; one at its cap counts as the cap and makes the mean a lower bound."""
    if not ruls:
        return None
    return Average(fmean(rul.clipped(rul.q50) for rul in ruls), any(rul.at_cap(rul.q50) for rul in ruls))
