"""Statistics of each channel over an engine's latest rows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

import numpy as np


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
    kept = list(rows)
    channels = list(dict.fromkeys(chain.from_iterable(kept)))
    values = np.array([[row.get(channel) for channel in channels] for row in kept], dtype=np.float64)
    values = values.reshape(len(kept), len(channels))
    has_value = ~np.isnan(values)
    counts = has_value.sum(axis=0)
    means = np.where(has_value, values, 0).sum(axis=0) / np.maximum(counts, 1)
    squares = np.where(has_value, values - means, 0) ** 2
    deviations = np.sqrt(squares.sum(axis=0) / np.maximum(counts - 1, 1))
    lowest = np.where(has_value, values, np.inf).min(axis=0, initial=np.inf)
    highest = np.where(has_value, values, -np.inf).max(axis=0, initial=-np.inf)
    columns = (column.tolist() for column in (counts, means, lowest, highest, deviations))
    return {
        channel: ChannelStatistics(count, mean, low, high, std if count > 1 else None)
        for channel, count, mean, low, high, std in zip(channels, *columns, strict=True)
        if count
    }
