"""Statistics of each channel over an engine's latest rows."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """One channel over some rows, in the channel's unit; ``std`` is the sample's, None for a single value."""

    count: int
    mean: float
    min: float
    max: float
    std: float | None


def statistics_of(rows: Iterable[Mapping[str, float | None]]) -> dict[str, ChannelStatistics]:
    """Describe each channel over the rows, newest first; missing values are left out, order is the newest row's.

    >>> statistics_of([{"T2": 2.0, "T24": None}, {"T2": 4.0}])["T2"].mean
    3.0
    """
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for channel, value in row.items():
            if value is not None:
                values[channel].append(value)
    return {channel: _describe(series) for channel, series in values.items()}


def _describe(series: list[float]) -> ChannelStatistics:
    return ChannelStatistics(
        count=len(series),
        mean=fmean(series),
        min=min(series),
        max=max(series),
        std=stdev(series) if len(series) > 1 else None,
    )
