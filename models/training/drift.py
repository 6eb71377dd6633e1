"""Fits what ``shared.drift`` needs: how the channels of training engines go together, and how far each may depart."""

import msgspec
import numpy as np

from models.training.specification import ALTITUDE, COLUMNS, Floats, Subsets
from shared.drift import VERSION, Drift
from shared.features import Features
from shared.manifest import DriftSpec, FeatureSpec

EWMA_ALPHA = 0.2
# One wild row alone stays within every limit that is five times less.
CLIP = 8.0
# On the greatest smoothed departure that any training engine ever showed.
LIMIT_MARGIN = 1.25
# Keeps channels that are always equal, or always the same, from an inverse without end.
RIDGE = 1e-6


def fit_drift(subsets: Subsets, features: FeatureSpec) -> DriftSpec:
    """Fit the precision of the z-scores in each regime, and the limits, to whole lives of training engines."""
    of_setting = Features(features).regime
    lives = [life.values for part in subsets.values() for life in part]
    regimes = [np.array([of_setting(setting) for setting in life[:, ALTITUDE].tolist()]) for life in lives]
    rows, numbers = np.concatenate(lives)[:, COLUMNS], np.concatenate(regimes)
    spec = DriftSpec(
        version=VERSION,
        precision=[
            _lower(np.linalg.inv(_covariance((rows[numbers == number] - regime.mean) / regime.sd)))
            for number, regime in enumerate(features.regimes)
        ],
        ewma_alpha=EWMA_ALPHA,
        clip=CLIP,
        limits=[CLIP] * len(COLUMNS),
    )
    drift = Drift(features, spec)
    farthest = np.zeros(len(COLUMNS))
    for life, own in zip(lives, regimes, strict=True):
        smoothed = np.zeros(len(COLUMNS))
        for values, number in zip(life[:, COLUMNS], own.tolist(), strict=True):
            drift.step(smoothed, number, values)
            np.maximum(farthest, np.abs(smoothed), out=farthest)
    return msgspec.structs.replace(spec, limits=[round(LIMIT_MARGIN * one, 2) for one in farthest.tolist()])


def _covariance(z: Floats) -> Floats:
    """Of z-scores; a channel that always shows the same counts as one that scatters by one sd."""
    covariance: Floats = z.T @ z / len(z) + RIDGE * np.eye(z.shape[1])
    np.fill_diagonal(covariance, np.where(np.ptp(z, axis=0) > 0, covariance.diagonal(), 1.0))
    return covariance


def _lower(matrix: Floats) -> list[list[float]]:
    """The rows of the lower triangle, in seven digits."""
    return [[float(f"{number:.7g}") for number in row[: place + 1]] for place, row in enumerate(matrix.tolist())]
