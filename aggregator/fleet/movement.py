"""Which channels of an engine have moved away from how it was at first, in the eyes of the model that judges it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shared.features import Features, FeatureState

LATEST_ROWS = 50


@dataclass(frozen=True, slots=True)
class Row:
    """One cycle row: a value per channel, None where it has none."""

    cycle: int
    channels: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Movement:
    """One channel then and now, in standard deviations from what is usual in the operating condition of each row.

    Attributes:
        baseline: mean of the engine's first rows.
        present: exponential mean of its latest rows.
    """

    channel: str
    baseline: float
    present: float

    @property
    def moved(self) -> float:
        """How far it has come; below zero where it fell."""
        return self.present - self.baseline


def movements(features: Features, first: Sequence[Row], latest: Sequence[Row]) -> list[Movement]:
    """How the channels have moved that have values in both parts of an engine's history, the farthest first.

    Args:
        features: of the model; knows operating conditions and what is usual in each.
        first: the engine's first rows, as many as the model takes for its baseline.
        latest: its latest rows.
    """
    then, now = _take(features, first).baseline, _take(features, latest).ewma
    known = _seen(first) & _seen(latest)
    moved = [
        Movement(channel, float(then[place]), float(now[place]))
        for place, channel in enumerate(features.spec.channels)
        if channel in known
    ]
    return sorted(moved, key=lambda one: -abs(one.moved))


def _take(features: Features, rows: Iterable[Row]) -> FeatureState:
    state = features.new_state()
    for row in rows:
        setting = row.channels.get(features.spec.regime_channel)
        values = [row.channels.get(channel) for channel in features.spec.channels]
        features.step(state, row.cycle, np.nan if setting is None else setting, np.array(values, dtype=np.float64))
    return state


def _seen(rows: Iterable[Row]) -> set[str]:
    return {channel for row in rows for channel, value in row.channels.items() if value is not None}
