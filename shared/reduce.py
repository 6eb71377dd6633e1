"""Samples of one cycle → one value per channel: judged one by one, then reduced as the manifest says.

Twice the same: ``ChannelReduction`` takes samples as they come and remembers a bounded amount, ``reduce_cycles`` takes
arrays. Both give the same bits.

A sample of a channel is bad where the hardware had none (NaN), outside the valid range, a spike, too fast a change or
stuck, looked at in this order, each beside the samples of the same cycle that the tests before have left. Bad samples
are left out. Where they are more than half of a channel's, it is missing in the cycle.
"""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.manifest import Manifest, Reducer
from shared.messages import Flags
from shared.quality import RATE, SOME_MISSING, SOME_OUT_OF_RANGE, SOME_STUCK, SPIKE

BAD_SHARE_MAX = 0.5
# A median is exact up to so many samples. Of more, every second, fourth, … one counts, so that between half as many and
# as many do: of independent samples with a deviation of 1 that moves it by less than 0.04 in two of three cycles.
MEDIAN_SAMPLES = 2048
SPIKE_SDS = 6

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one channel that take the place of the manifest's, where they are given; see ``manifest.Channel``."""

    spike: float | None = None
    rate_per_s: float | None = None
    stuck_samples: int | None = None


class ChannelRule(NamedTuple):
    """How samples of one channel are judged and reduced; an infinite limit or 0 ``stuck_samples`` judges nothing."""

    name: str
    reducer: Reducer
    minimum: float
    maximum: float
    spike: float = np.inf
    rate_per_s: float = np.inf
    stuck_samples: int = 0


class CycleValues(NamedTuple):
    """What the samples of cycles gave: the cycles, shape (rows,), a value per channel, (rows, channels), and flags."""

    cycles: NDArray[np.int64]
    values: Floats
    flags: list[Flags]


def channel_rules(manifest: Manifest, limits: Mapping[str, Limits] | None = None) -> list[ChannelRule]:
    """The rules for all channels of a manifest, in its order."""
    given = limits or {}
    return [
        _with_limits(
            ChannelRule(
                channel.name,
                channel.reducer,
                channel.minimum,
                channel.maximum,
                channel.spike or _spike_by_sd(manifest, channel.name),
                channel.rate_per_s or np.inf,
                channel.stuck_samples,
            ),
            given.get(channel.name, Limits()),
        )
        for channel in manifest.channels
    ]


def _spike_by_sd(manifest: Manifest, name: str) -> float:
    spec = manifest.features
    if name not in spec.channels:
        return np.inf
    column = spec.channels.index(name)
    return SPIKE_SDS * max(regime.sd[column] for regime in spec.regimes)


def _with_limits(rule: ChannelRule, limits: Limits) -> ChannelRule:
    given = {name: value for name in Limits.__slots__ if (value := getattr(limits, name)) is not None}
    return rule._replace(**given)


class ChannelReduction:
    """The samples of one channel in one cycle, as they come; some 16 kB at most."""

    def __init__(self, rule: ChannelRule) -> None:
        self._rule = rule
        self._samples = 0
        self._bad: dict[str, int] = {}
        # The last valid sample waits for the next one, which tells whether it is a spike.
        self._waiting: tuple[float, float] | None = None
        self._rise = 0.0
        self._steady: tuple[float, float] | None = None
        self._repeated = np.nan
        self._repeats = 0
        self._good = _GOOD[rule.reducer]()

    def take(self, at_s: float, value: float) -> None:
        """Take one sample, observed at ``at_s`` by any clock that counts seconds; NaN where the hardware had none."""
        self._samples += 1
        rule = self._rule
        if value != value:
            self._note(SOME_MISSING)
        elif not rule.minimum <= value <= rule.maximum:
            self._note(SOME_OUT_OF_RANGE)
        elif self._waiting is None:
            self._waiting = (at_s, value)
        else:
            rise, limit = value - self._waiting[1], rule.spike
            if (self._rise > limit and rise < -limit) or (self._rise < -limit and rise > limit):
                self._note(SPIKE)
            else:
                self._settle(*self._waiting)
            self._waiting, self._rise = (at_s, value), rise

    def result(self) -> tuple[float, list[str]]:
        """The channel's value in the cycle, NaN where it is missing, and its flags; ends the reduction."""
        if self._waiting is not None:
            self._settle(*self._waiting)
            self._waiting = None
        return _result(self._samples, self._bad, self._good.value)

    def _settle(self, at_s: float, value: float) -> None:
        """Judge by rate and repeats what is no spike, and reduce what is good."""
        before, self._steady = self._steady, (at_s, value)
        if before is not None and abs(value - before[1]) > self._rule.rate_per_s * (at_s - before[0]) > 0:
            self._note(RATE)
            return
        self._repeats = self._repeats + 1 if value == self._repeated else 1
        self._repeated = value
        if 0 < self._rule.stuck_samples <= self._repeats:
            self._note(SOME_STUCK)
        else:
            self._good.take(value)

    def _note(self, flag: str) -> None:
        self._bad[flag] = self._bad.get(flag, 0) + 1


def reduce_cycles(rules: Sequence[ChannelRule], at_s: Floats, cycles: NDArray[np.int64], values: Floats) -> CycleValues:
    """Reduce the samples of whole cycles.

    Args:
        rules: one per column of ``values``.
        at_s: when each sample was observed, in seconds, shape (samples,).
        cycles: the cycle of each, so that those of one lie together, shape (samples,).
        values: shape (samples, channels), NaN where the hardware had none.
    """
    starts = np.flatnonzero(np.diff(cycles, prepend=np.nan) != 0)
    ends = np.append(starts, len(cycles))[1:]
    reduced = np.full((len(starts), len(rules)), np.nan)
    flags: list[Flags] = []
    for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
        raised: Flags = {}
        for column, rule in enumerate(rules):
            reduced[row, column], names = _reduce(rule, at_s[start:end], values[start:end, column])
            if names:
                raised[rule.name] = names
        flags.append(raised)
    return CycleValues(cycles[starts], reduced, flags)


def _reduce(rule: ChannelRule, at_s: Floats, values: Floats) -> tuple[float, list[str]]:
    """What ``ChannelReduction`` gives after these samples."""
    bad: dict[str, int] = {}

    def sift(flag: str, is_bad: NDArray[np.bool_]) -> None:
        nonlocal at_s, values
        if count := np.count_nonzero(is_bad):
            bad[flag] = count
            at_s, values = at_s[~is_bad], values[~is_bad]

    samples = len(values)
    sift(SOME_MISSING, np.isnan(values))
    sift(SOME_OUT_OF_RANGE, (values < rule.minimum) | (values > rule.maximum))
    sift(SPIKE, _spikes(values, rule.spike))
    if len(values) and rule.rate_per_s < np.inf:
        limit = rule.rate_per_s * np.diff(at_s)
        sift(RATE, np.concatenate([[False], (np.abs(np.diff(values)) > limit) & (limit > 0)]))
    if len(values):
        sift(SOME_STUCK, _repeats(values) >= (rule.stuck_samples or np.inf))
    good = _GOOD[rule.reducer]()
    good.take_all(values)
    return _result(samples, bad, good.value)


def _spikes(values: Floats, limit: float) -> NDArray[np.bool_]:
    rise = np.diff(values)
    found = np.zeros(len(values), bool)
    found[1:-1] = ((rise[:-1] > limit) & (rise[1:] < -limit)) | ((rise[:-1] < -limit) & (rise[1:] > limit))
    return found


def _repeats(values: Floats) -> NDArray[np.int64]:
    """For each value, how many equal ones end with it."""
    places = np.arange(len(values))
    changes = np.diff(values, prepend=np.nan) != 0
    repeats: NDArray[np.int64] = places - np.maximum.accumulate(np.where(changes, places, 0)) + 1
    return repeats


def _result(samples: int, bad: Mapping[str, int], value: float) -> tuple[float, list[str]]:
    return value if sum(bad.values()) <= BAD_SHARE_MAX * samples else np.nan, sorted(bad)


class _Mean:
    """The sum is taken from first to last, also over arrays, so that both give the same bits."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def take(self, value: float) -> None:
        self._sum += value
        self._count += 1

    def take_all(self, values: Floats) -> None:
        self._sum, self._count = float(np.cumsum(values)[-1]) if len(values) else 0.0, len(values)

    @property
    def value(self) -> float:
        return self._sum / self._count if self._count else np.nan


class _Median:
    """Keeps every value, and when they are too many every second of those, and so on."""

    def __init__(self) -> None:
        self._kept = array("d")
        self._count, self._stride = 0, 1

    def take(self, value: float) -> None:
        if self._count % self._stride == 0:
            if len(self._kept) == MEDIAN_SAMPLES:
                self._kept, self._stride = self._kept[::2], self._stride * 2
            if self._count % self._stride == 0:
                self._kept.append(value)
        self._count += 1

    def take_all(self, values: Floats) -> None:
        stride = 1
        while len(values) > MEDIAN_SAMPLES * stride:
            stride *= 2
        self._kept = array("d", values[::stride])

    @property
    def value(self) -> float:
        return float(np.median(self._kept)) if self._kept else np.nan


class _Last:
    def __init__(self) -> None:
        self.value = np.nan

    def take(self, value: float) -> None:
        self.value = value

    def take_all(self, values: Floats) -> None:
        for value in values[-1:].tolist():
            self.take(value)


class _Min(_Last):
    def take(self, value: float) -> None:
        self.value = value if self.value != self.value else min(self.value, value)

    def take_all(self, values: Floats) -> None:
        if len(values):
            self.value = float(values.min())


class _Max(_Last):
    def take(self, value: float) -> None:
        self.value = value if self.value != self.value else max(self.value, value)

    def take_all(self, values: Floats) -> None:
        if len(values):
            self.value = float(values.max())


_GOOD: dict[Reducer, type[_Mean | _Median | _Last]] = {
    "mean": _Mean,
    "median": _Median,
    "last": _Last,
    "min": _Min,
    "max": _Max,
}
