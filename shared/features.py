"""The causal features that the RUL model eats, made row by row at the edge and a whole life at once in training.

Each row is z-scored in its operating regime; what is missing is held at its smoothed value, and so is a whole row
that does not fit its regime. Over the z-scores come an exponential mean, its distance from the engine's own first rows,
and windowed means, a lagged difference and slopes, which are all fixed weights (kernels) over the last ``window_rows``
rows. A channel begins as if it had always shown its first value, and begins anew where the window holds only stand-ins.
Every statistic is also projected on the directions of wear. Last come the age and two marks: whether the age is known,
and whether the first rows show the engine as it was installed. Some slopes are shown only where the age is unknown:
beside it they mislead.
"""

import hashlib
import struct
from bisect import bisect
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.errors import BundleError
from shared.manifest import FeatureSpec

VERSION = 2
MARKS = ("age_known", "baseline_known")
# Of 160,359 training rows none has more than 5 of 16 channels beyond the clip; in another's regime each has 7 or more.
MOST_BEYOND_CLIP = 1 / 3
# Of the values of the first rows. With more missing, features without a baseline predict better than with what is left
# of it; one channel without any costs less than the whole baseline does.
MOST_BASELINE_LOST = 1 / 4

_HEADER = struct.Struct("<8sI??")

Floats = NDArray[np.float32]


@dataclass(slots=True)
class FeatureState:
    """What one engine's next features need of its past.

    Attributes:
        seen_rows: rows taken so far.
        regime_known: whether the last row had an operating setting of the model's, and channels that fit it.
        baseline_sound: whether the first rows, as far as they came, show the engine as it was installed.
        ewma, baseline: exponential mean, and mean of the first rows; shape (channels,).
        baseline_lost: in how many of the first rows each channel was missing.
        held: how much of each channel's recent past is stand-ins: one more with every row that it is missing from, at
            most ``window_rows``, and one less with every value.
        window: the last z-scored rows, oldest first; shape (window_rows, channels).
        cycles: their cycles; the last one is the engine's last cycle.
    """

    seen_rows: int
    regime_known: bool
    baseline_sound: bool
    ewma: Floats
    baseline: Floats
    baseline_lost: NDArray[np.int32]
    held: NDArray[np.int32]
    window: Floats
    cycles: NDArray[np.int32]


class Features:
    """Makes features as one specification says; holds no state of any engine."""

    def __init__(self, spec: FeatureSpec) -> None:
        if spec.version != VERSION:
            raise BundleError(f"the model wants features version {spec.version}; this program makes version {VERSION}")
        width = len(feature_names(spec))
        if not len(spec.center) == len(spec.scale) == width:
            raise BundleError(
                f"the model has {len(spec.center)} centers and {len(spec.scale)} scales for {width} features; "
                "install the released bundle again"
            )
        self.spec = spec
        self._by_nominal = sorted(range(len(spec.regimes)), key=lambda number: spec.regimes[number].nominal)
        nominal = sorted(regime.nominal for regime in spec.regimes)
        self._midway = [(lower + upper) / 2 for lower, upper in pairwise(nominal)]
        self._nominal = [regime.nominal for regime in spec.regimes]
        self._mean_sd = [(np.array(regime.mean), np.array(regime.sd)) for regime in spec.regimes]
        # As arrays: with a Python number a ufunc takes twice as long on one row.
        self._alpha = np.array(spec.ewma_alpha, np.float32)
        self._z_clip = np.array(spec.z_clip)
        self._lowest, self._highest = np.array([[-spec.clip], [spec.clip]], np.float32)
        self._kernels = _kernels(spec)
        self._health = np.array(spec.health, np.float32).reshape(-1, len(spec.channels)).T
        self._center, self._scale = np.array(spec.center, np.float32), np.array(spec.scale, np.float32)
        tracks = len(spec.channels) + len(spec.health)
        end = width - 1 - len(MARKS)
        self._ageless = np.s_[..., end - tracks * len(spec.ageless_slope_rows) : end]
        self._aged = np.s_[..., end : end + 2]
        self._since_baseline = np.s_[..., tracks : 2 * tracks]

    @cached_property
    def digest(self) -> bytes:
        """Names the specification in stored states."""
        return hashlib.blake2b(msgspec.json.encode(self.spec), digest_size=8).digest()

    def new_state(self) -> FeatureState:
        """The state of an engine without rows."""
        channels = len(self.spec.channels)
        return FeatureState(
            seen_rows=0,
            regime_known=True,
            baseline_sound=True,
            ewma=np.zeros(channels, np.float32),
            baseline=np.zeros(channels, np.float32),
            baseline_lost=np.zeros(channels, np.int32),
            held=np.zeros(channels, np.int32),
            window=np.zeros((self.spec.window_rows, channels), np.float32),
            cycles=np.zeros(self.spec.window_rows, np.int32),
        )

    def step(
        self, state: FeatureState, cycle: int, setting: float, values: NDArray[np.float64], *, age_known: bool = True
    ) -> Floats:
        """Take one row into the state and make its features, shape (features,).

        Args:
            state: updated in place.
            cycle: the source's counter; the engine's age in cycles where that is known.
            setting: value of the regime channel; where it is NaN or in no regime, or more than a third of the values
                lie beyond the clip there, no value counts.
            values: of ``spec.channels``, NaN where missing.
            age_known: whether ``cycle`` counts from the engine's installation.
        """
        self._advance(state, cycle, setting, values)
        statistics = np.empty((2 + len(self._kernels), len(values)), np.float32)
        statistics[0] = state.ewma
        np.subtract(state.ewma, state.baseline, out=statistics[1])
        np.dot(self._kernels, state.window, out=statistics[2:])
        features = self._finish(statistics, cycle)
        if not state.baseline_sound:
            features = self.forget_baseline(features)
        features[self._ageless if age_known else self._aged] = 0
        return features

    def life(self, cycles: NDArray[np.int64], settings: NDArray[np.float64], values: NDArray[np.float64]) -> Floats:
        """Features of every row of a life at once, shape (rows, features).

        They hold both what is shown with the age and without it; equal to stepping through the life once
        ``with_age`` or ``without_age`` has taken the rest away.
        """
        state = self.new_state()
        smooth, baseline = np.empty((2, *values.shape), np.float32)
        sound = np.empty(len(values), bool)
        windows = np.empty((len(values), *state.window.shape), np.float32)
        for row in range(len(values)):
            self._advance(state, int(cycles[row]), settings[row], values[row])
            smooth[row], baseline[row], windows[row] = state.ewma, state.baseline, state.window
            sound[row] = state.baseline_sound
        statistics = np.concatenate((smooth[:, None], (smooth - baseline)[:, None], self._kernels @ windows), axis=1)
        features = self._finish(statistics, cycles)
        return np.where(sound[:, None], features, self.forget_baseline(features))

    def with_age(self, features: Floats) -> Floats:
        """The same features, shape (…, features), as they are shown where the age is known."""
        shown = features.copy()
        shown[self._ageless] = 0
        return shown

    def without_age(self, features: Floats) -> Floats:
        """The same features, shape (…, features), as they are shown where the age is unknown."""
        shown = features.copy()
        shown[self._aged] = 0
        return shown

    def forget_baseline(self, features: Floats) -> Floats:
        """The same features, shape (…, features), without the distance from the engine's own first rows."""
        forgotten = features.copy()
        forgotten[self._since_baseline] = 0
        forgotten[..., -1] = 0
        return forgotten

    def to_bytes(self, state: FeatureState) -> bytes:
        """Store a state, some 7 kB."""
        header = _HEADER.pack(self.digest, state.seen_rows, state.regime_known, state.baseline_sound)
        return header + b"".join(part.tobytes() for part in _arrays(state))

    @cached_property
    def stored_bytes(self) -> int:
        """Size of what ``to_bytes`` gives."""
        return len(self.to_bytes(self.new_state()))

    def from_bytes(self, stored: bytes) -> FeatureState:
        """Restore a state.

        Raises:
            BundleError: it was stored under another specification, or is damaged.
        """
        state = self.new_state()
        parts = _arrays(state)
        if len(stored) != _HEADER.size + sum(part.nbytes for part in parts) or not stored.startswith(self.digest):
            raise BundleError(
                "the stored feature state is not of this model; start the engine's state anew from its history"
            )
        _, state.seen_rows, state.regime_known, state.baseline_sound = _HEADER.unpack_from(stored)
        offset = _HEADER.size
        for part in parts:
            part[...] = np.frombuffer(stored, part.dtype, part.size, offset).reshape(part.shape)
            offset += part.nbytes
        return state

    def regime(self, setting: float) -> int | None:
        """Number of the regime in the order of the specification, None where the setting is in none."""
        nearest = self._by_nominal[bisect(self._midway, setting)]
        return nearest if abs(setting - self._nominal[nearest]) <= self.spec.regime_tolerance else None

    def _z_score(self, setting: float, values: NDArray[np.float64]) -> tuple[Floats, bool]:
        """Z-scores of one row, shape (channels,), all NaN where its regime is not known; and whether that is."""
        regime = self.regime(setting)
        if regime is None:
            return np.full(len(values), np.nan, np.float32), False
        mean, sd = self._mean_sd[regime]
        z = values - mean
        z /= sd
        within = np.count_nonzero(np.abs(z) <= self._z_clip)
        if within == len(z):
            return z.astype(np.float32), True
        given = np.count_nonzero(~np.isnan(z))
        if given - within > MOST_BEYOND_CLIP * given:
            return np.full(len(z), np.nan, np.float32), False
        return np.clip(z, -self._z_clip, self._z_clip).astype(np.float32), True

    def _advance(self, state: FeatureState, cycle: int, setting: float, values: NDArray[np.float64]) -> None:
        """Take one row into the state."""
        z, state.regime_known = self._z_score(setting, values)
        missing = np.isnan(z)
        if state.seen_rows == 0:
            state.cycles[:] = cycle
        if state.seen_rows == 0 or np.count_nonzero(missing) or np.count_nonzero(state.held):
            z = self._bridge(state, z, missing)
        state.seen_rows += 1
        state.ewma += self._alpha * (z - state.ewma)
        if state.seen_rows <= self.spec.baseline_rows:
            self._extend_baseline(state, cycle, z, missing)
        state.window[:-1] = state.window[1:]
        state.window[-1] = z
        state.cycles[:-1] = state.cycles[1:]
        state.cycles[-1] = cycle

    def _bridge(self, state: FeatureState, z: Floats, missing: NDArray[np.bool_]) -> Floats:
        """Fill in the missing and begin channels of which the window holds only stand-ins; returns the row to take."""
        z = np.where(missing, state.ewma, z)
        begins = ~missing & (state.held >= min(state.seen_rows, self.spec.window_rows))
        state.ewma[begins] = state.window[:, begins] = z[begins]
        first = begins & (state.baseline_lost >= min(state.seen_rows, self.spec.baseline_rows))
        state.baseline[first] = z[first]
        state.held += np.where(missing, 1, -1)
        np.clip(state.held, 0, self.spec.window_rows, out=state.held)
        return z

    def _extend_baseline(self, state: FeatureState, cycle: int, z: Floats, missing: NDArray[np.bool_]) -> None:
        """Take one of the first rows into the baseline; too many values lost, or cycles, and it is sound no more."""
        state.baseline += (z - state.baseline) / np.float32(state.seen_rows)
        state.baseline_lost += missing
        enough = state.baseline_lost.sum() <= MOST_BASELINE_LOST * self.spec.baseline_rows * len(z)
        in_time = cycle - state.seen_rows < self.spec.latest_baseline_start
        state.baseline_sound = bool(state.baseline_sound and enough and in_time)

    def _finish(self, statistics: Floats, cycles: int | NDArray[np.int64]) -> Floats:
        """Statistics of shape (…, statistics, channels) → standardised features of shape (…, features)."""
        *rows, count, channels = statistics.shape
        features: Floats = np.empty((*rows, len(self._center)), np.float32)
        tracks = features[..., : -1 - len(MARKS)].reshape(*rows, count, -1)
        tracks[..., :channels] = statistics
        np.matmul(statistics, self._health, out=tracks[..., channels:])
        features[..., -1 - len(MARKS)] = cycles
        features[..., -len(MARKS) :] = 1
        features -= self._center
        features /= self._scale
        # Several times faster than np.clip on a single row.
        np.maximum(features, self._lowest, out=features)
        np.minimum(features, self._highest, out=features)
        return features


def _arrays(state: FeatureState) -> tuple[NDArray[Any], ...]:
    return state.ewma, state.baseline, state.baseline_lost, state.held, state.window, state.cycles


def feature_names(spec: FeatureSpec) -> list[str]:
    """Name every feature, in order.

    Statistic by statistic those of all channels and then of all health directions; then the age and the two marks.
    """
    statistics = [
        "ewma",
        "since_baseline",
        *(f"mean{rows}" for rows in spec.mean_rows),
        f"lag{spec.lag_rows}",
        *(f"slope{rows}" for rows in (*spec.slope_rows, *spec.ageless_slope_rows)),
    ]
    tracks = [*spec.channels, *(f"health{number}" for number in range(len(spec.health)))]
    return [f"{track}.{statistic}" for statistic in statistics for track in tracks] + ["age", *MARKS]


def _kernels(spec: FeatureSpec) -> Floats:
    """Weights of the windowed statistics over the last rows, oldest first; shape (statistics, window_rows)."""
    age = np.arange(spec.window_rows)[::-1]
    means = [np.where(age < rows, 1 / rows, 0) for rows in spec.mean_rows]
    lag = np.where(age < spec.lag_rows, 1, np.where(age < 2 * spec.lag_rows, -1, 0)) / spec.lag_rows
    slopes = []
    for rows in (*spec.slope_rows, *spec.ageless_slope_rows):
        time = np.where(age < rows, (rows - 1) / 2 - age, 0)
        slopes.append(time / (time**2).sum())
    return np.array([*means, lag, *slopes], dtype=np.float32)
