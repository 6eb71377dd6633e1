"""Which channels of an engine have moved away from how it was at first, in the eyes of the model that judges it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

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


@dataclass(frozen=True, slots=True)
class Baseline:
    """How an engine was at first, in the eyes of a model.

    Attributes:
        features: of the model; knows operating conditions and what is usual in each.
        means: of the channels that had values then, in standard deviations from what is usual.
    """

    features: Features
    means: Mapping[str, float]

    @classmethod
    def of(cls, features: Features, first: Sequence[Row]) -> Self:
        """The baseline of an engine's first rows, as many as the model takes for it."""
        means, known = _take(features, first).baseline, _seen(first)
        channels = enumerate(features.spec.channels)
        return cls(features, {channel: float(means[place]) for place, channel in channels if channel in known})

    def distances(self, channels: Mapping[str, float | None]) -> dict[str, float]:
        """How far a row's channels lie from it, in standard deviations; none in an unknown operating condition."""
        spec = self.features.spec
        setting = channels.get(spec.regime_channel)
        number = None if setting is None else self.features.regime(setting)
        if number is None:
            return {}
        usual = spec.regimes[number]
        return {
            channel: (value - mean) / sd - self.means[channel]
            for channel, mean, sd in zip(spec.channels, usual.mean, usual.sd, strict=True)
            if channel in self.means and (value := channels.get(channel)) is not None
        }


def movements(baseline: Baseline, latest: Sequence[Row]) -> list[Movement]:
    """How the channels have moved that had values at first and have some among the latest rows, the farthest first."""
    features, known = baseline.features, _seen(latest)
    now = dict(zip(features.spec.channels, _take(features, latest).ewma, strict=True))
    moved = [Movement(name, mean, float(now[name])) for name, mean in baseline.means.items() if name in known]
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
