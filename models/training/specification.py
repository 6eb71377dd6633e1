"""Second step: what the features need to know of the training engines, and the valid range of every channel."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.reading import Life
from shared.cmapss import CHANNELS, UNITS
from shared.features import VERSION, Features, feature_names
from shared.manifest import Channel, FeatureSpec, Regime

# In FD001 the other sensors are constant or as good as constant.
FEATURE_CHANNELS = [
    "T24", "T30", "T50", "P30", "Nf", "Nc", "Ps30", "phi", "NRf", "NRc", "BPR", "htBleed", "W31", "W32",
]  # fmt: skip
COLUMNS = [CHANNELS.index(name) for name in FEATURE_CHANNELS]
RIDGE = 10.0
UNLIMITED = 1e9
INPUT_CLIP = 4.0


def life_features(features: Features, life: Life) -> NDArray[np.float32]:
    """Features of every row of a life."""
    return features.life(life.cycles, life.values[:, 0], life.values[:, COLUMNS])


def fit_specification(lives: list[Life], cap_cycles: float) -> FeatureSpec:
    """Fit regimes, the direction of wear and the standardisation to training engines."""
    values = np.concatenate([life.values[:, COLUMNS] for life in lives])
    spec = FeatureSpec(
        version=VERSION,
        channels=FEATURE_CHANNELS,
        regime_channel="altitude",
        regimes=[Regime(nominal=0.0, mean=values.mean(axis=0).tolist(), sd=values.std(axis=0).tolist())],
        z_clip=6.0,
        ewma_alpha=0.1,
        window_rows=50,
        mean_rows=[10, 30, 50],
        lag_rows=10,
        slope_rows=[20],
        baseline_rows=20,
        health=[],
        center=[],
        scale=[],
        clip=UNLIMITED,
    )
    spec = msgspec.structs.replace(spec, health=[_wear_direction(spec, lives, cap_cycles)])
    raw = np.concatenate(_raw_features(spec, lives))
    center, scale = raw.mean(axis=0), raw.std(axis=0)
    # Whether the age is known stays 0 or 1.
    center[-1], scale[-1] = 0, 1
    return msgspec.structs.replace(spec, center=center.tolist(), scale=scale.tolist(), clip=INPUT_CLIP)


def channel_ranges(lives: list[Life]) -> list[Channel]:
    """Valid ranges: what training saw, widened by its own width and 2 % of its size."""
    values = np.concatenate([life.values for life in lives])
    low, high = values.min(axis=0), values.max(axis=0)
    margin = high - low + 0.02 * np.maximum(np.abs(low), np.abs(high))
    return [
        Channel(name=name, unit=UNITS[name], minimum=float(f"{lower:.6g}"), maximum=float(f"{upper:.6g}"))
        for name, lower, upper in zip(CHANNELS, low - margin, high + margin, strict=True)
    ]


def _raw_features(spec: FeatureSpec, lives: list[Life]) -> list[NDArray[np.float32]]:
    width = len(feature_names(spec))
    raw = Features(msgspec.structs.replace(spec, center=[0.0] * width, scale=[1.0] * width))
    return [life_features(raw, life) for life in lives]


def _wear_direction(spec: FeatureSpec, lives: list[Life], cap_cycles: float) -> list[float]:
    """Ridge regression of the capped RUL on the smoothed channels, scaled to length 1."""
    smooth = np.concatenate(_raw_features(spec, lives))[:, : len(spec.channels)].astype(np.float64)
    label = np.concatenate([np.minimum(life.rul_cycles, cap_cycles) for life in lives])
    gram = smooth.T @ smooth + RIDGE * np.eye(len(spec.channels))
    direction = np.linalg.solve(gram, smooth.T @ (label - label.mean()))
    return list((direction / np.linalg.norm(direction)).tolist())
