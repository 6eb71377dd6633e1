"""The fleet in a few numbers: engines per band, links beside them, and the mean and median of the medians."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from aggregator.fleet.bands import Band
from aggregator.fleet.liveness import LinkState
from aggregator.fleet.rul import Rul


@dataclass(frozen=True, slots=True)
class Average:
    """A mean or median over engines, in cycles; at the cap it is only known to be at least this."""

    cycles: float
    at_cap: bool


@dataclass(frozen=True, slots=True)
class FleetSummary:
    """Counts of engines per band and per link state, and the averages of their predicted medians."""

    total: int
    bands: Counter[Band]
    links: Counter[LinkState]
    mean: Average | None
    median: Average | None


def summarise(engines: Iterable[tuple[Band, LinkState, Rul | None]]) -> FleetSummary:
    """Count the engines and average the medians of those that have a prediction."""
    seen = list(engines)
    ruls = sorted((rul for _, _, rul in seen if rul is not None), key=lambda rul: rul.q50)
    return FleetSummary(
        total=len(seen),
        bands=Counter(band for band, _, _ in seen),
        links=Counter(link for _, link, _ in seen),
        mean=_average(ruls),
        median=_average(ruls[(len(ruls) - 1) // 2 : len(ruls) // 2 + 1]),
    )


def _average(ruls: Sequence[Rul]) -> Average | None:
    """The mean of some medians; one at its cap counts as the cap and makes the mean a lower bound."""
    if not ruls:
        return None
    return Average(fmean(rul.clipped(rul.q50) for rul in ruls), any(rul.at_cap(rul.q50) for rul in ruls))
