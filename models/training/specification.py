"""Second step: what the features need to know of the training engines, and the valid range of every channel."""

from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.reading import Life
from shared.cmapss import CHANNELS, UNITS
from shared.features import MARKS, VERSION, Features, feature_names
from shared.manifest import Channel, FeatureSpec, Regime

# The other sensors say nothing of wear in any subset.
FEATURE_CHANNELS = [
    "T24", "T30", "T50", "P15", "P30", "Nf", "Nc", "epr", "Ps30", "phi", "NRf", "NRc", "BPR", "htBleed", "W31", "W32",
]  # fmt: skip
COLUMNS = [CHANNELS.index(name) for name in FEATURE_CHANNELS]
ALTITUDE = CHANNELS.index("altitude")
# The six operating conditions of the data set, in kft.
REGIMES = [0.0, 10.0, 20.0, 25.0, 35.0, 42.0]
REGIME_TOLERANCE = 1.0
RIDGE = 10.0
UNLIMITED = 1e9
INPUT_CLIP = 4.0
LATEST_BASELINE_START = 5
# A channel is stuck after twice as many equal values as any training engine ever showed; where those are more, never.
LEAST_STUCK_ROWS, MOST_STUCK_ROWS = 5, 60

Floats = NDArray[np.float64]
Subsets = dict[str, list[Life]]


def life_features(features: Features, cycles: NDArray[np.int64], values: Floats) -> NDArray[np.float32]:
    """Features of every row of a life whose rows have all 24 channels."""
    return features.life(cycles, values[:, ALTITUDE], values[:, COLUMNS])


def fit_specification(subsets: Subsets, cap_cycles: float) -> FeatureSpec:
    """Fit regimes, one direction of wear per subset and the standardisation to training engines."""
    lives = [life for part in subsets.values() for life in part]
    spec = FeatureSpec(
        version=VERSION,
        channels=FEATURE_CHANNELS,
        regime_channel="altitude",
        regimes=_regimes(np.concatenate([life.values for life in lives])),
        regime_tolerance=REGIME_TOLERANCE,
        z_clip=6.0,
        ewma_alpha=0.1,
        window_rows=100,
        mean_rows=[10, 30, 50],
        lag_rows=10,
        slope_rows=[20],
        ageless_slope_rows=[50, 100],
        baseline_rows=20,
        latest_baseline_start=LATEST_BASELINE_START,
        health=[],
        center=[],
        scale=[],
        clip=UNLIMITED,
    )
    health = [_wear_direction(spec, part, cap_cycles) for part in subsets.values()]
    spec = msgspec.structs.replace(spec, health=health)
    raw = np.concatenate(_raw_features(spec, lives))
    center, scale = raw.mean(axis=0), _scale(raw)
    # The marks stay 0 or 1.
    center[-len(MARKS) :], scale[-len(MARKS) :] = 0, 1
    return msgspec.structs.replace(spec, center=_rounded(center), scale=_rounded(scale), clip=INPUT_CLIP)


def channel_ranges(subsets: Subsets) -> list[Channel]:
    """Valid ranges: what training saw, widened by its own width and 2 % of its size; and when a channel is stuck."""
    lives = [life.values for part in subsets.values() for life in part]
    values = np.concatenate(lives)
    low, high = values.min(axis=0), values.max(axis=0)
    margin = high - low + 0.02 * np.maximum(np.abs(low), np.abs(high))
    return [
        Channel(
            name=name,
            unit=UNITS[name],
            minimum=float(f"{low[column] - margin[column]:.6g}"),
            maximum=float(f"{high[column] + margin[column]:.6g}"),
            stuck_rows=_stuck_rows([life[:, column] for life in lives]),
        )
        for column, name in enumerate(CHANNELS)
    ]


def _regimes(values: Floats) -> list[Regime]:
    """Mean and sd of each feature channel under each operating condition that occurs."""
    nearest = np.abs(np.subtract.outer(values[:, ALTITUDE], REGIMES)).argmin(axis=1)
    rows = {nominal: values[nearest == number][:, COLUMNS] for number, nominal in enumerate(REGIMES)}
    return [
        Regime(
            nominal=nominal,
            mean=_rounded(part.mean(axis=0)),
            sd=_rounded(_scale(part)),
        )
        for nominal, part in rows.items()
        if len(part)
    ]


def _scale(rows: NDArray[np.floating]) -> Floats:
    """Standard deviation of each column; 1 where training saw a single value, so that another one stays in bounds."""
    sd = rows.std(axis=0, dtype=np.float64)
    # Rounding makes the deviation of equal numbers a little more than 0.
    return np.where(np.ptp(rows, axis=0) > 0, sd, 1.0)


def _stuck_rows(lives: list[Floats]) -> int:
    longest = max(_longest_run(life) for life in lives)
    return max(LEAST_STUCK_ROWS, 2 * longest) if 2 * longest <= MOST_STUCK_ROWS else 0


def _longest_run(values: Floats) -> int:
    """How many equal values follow each other at most."""
    ends = np.flatnonzero(np.diff(values) != 0) + 1
    return max(last - first for first, last in pairwise([0, *ends.tolist(), len(values)]))


def _raw_features(spec: FeatureSpec, lives: list[Life]) -> list[NDArray[np.float32]]:
    width = len(feature_names(spec))
    raw = Features(msgspec.structs.replace(spec, center=[0.0] * width, scale=[1.0] * width))
    return [life_features(raw, life.cycles, life.values) for life in lives]


def _wear_direction(spec: FeatureSpec, lives: list[Life], cap_cycles: float) -> list[float]:
    """Ridge regression of the capped RUL on the smoothed channels, scaled to length 1."""
    smooth = np.concatenate(_raw_features(spec, lives))[:, : len(spec.channels)].astype(np.float64)
    label = np.concatenate([np.minimum(life.rul_cycles, cap_cycles) for life in lives])
    gram = smooth.T @ smooth + RIDGE * np.eye(len(spec.channels))
    direction = np.linalg.solve(gram, smooth.T @ (label - label.mean()))
    return _rounded(direction / np.linalg.norm(direction))


def _rounded(values: NDArray[np.floating]) -> list[float]:
    """Seven digits: more than a float32 feature holds, and a manifest that a person can read."""
    return [float(f"{value:.7g}") for value in values]
