"""Finds channels that drift: that wander off from what the other channels of the rows let expect of them.

Wear moves channels together, a sensor that drifts moves alone. In each operating condition the z-scores z of training
engines, over whole lives and so in every state of wear, have a precision matrix P. A channel's departure is
(P z)_i / sqrt(P_ii): what it shows less its linear regression on all others, in standard deviations of that. Of single
channels it is the one that departs farthest whose drift explains a row best (the generalised likelihood ratio of a
shift in one of jointly normal numbers). Each departure is smoothed over the rows, and one beyond the limit that the
manifest gives the channel is a drift. From then on the channel is left out of what is expected of the others.
"""

import numpy as np
from numpy.typing import NDArray

from shared.errors import BundleError
from shared.manifest import DriftSpec, FeatureSpec

VERSION = 1
# With fewer channels left to compare with a row says nothing of the single one.
MOST_APART = 1 / 3

Floats = NDArray[np.float64]


class Drift:
    """Finds drift as one specification says; holds no state of any engine.

    What it needs of an engine's past is its smoothed departures, shape (channels,), 0 before its first row.

    Args:
        features: names the operating conditions, with mean and sd of each channel.
        spec: what is known of the channels together.

    Raises:
        BundleError: it is of a version that this program does not know.
    """

    def __init__(self, features: FeatureSpec, spec: DriftSpec) -> None:
        if spec.version != VERSION:
            raise BundleError(
                f"the model wants drift version {spec.version}; this program knows version {VERSION}: update it"
            )
        self._mean, self._sd = (np.array([getattr(one, part) for one in features.regimes]) for part in ("mean", "sd"))
        self._precision = np.array([_symmetric(lower) for lower in spec.precision])
        spread = np.sqrt(np.diagonal(self._precision, axis1=1, axis2=2))
        gain = self._precision / spread[:, :, None] / self._sd[:, None, :]
        # By regime in a list, which gives a row of work its matrix sooner than an array.
        self._gain, self._offset = list(gain), list(np.einsum("rij,rj->ri", gain, self._mean))
        self._alpha, self._clip = np.array(spec.ewma_alpha), np.array(spec.clip)
        self._limits = np.array(spec.limits)
        self._judged = self._limits < self._clip
        self._clip_square = spec.clip**2
        self._most_apart = MOST_APART * len(spec.limits)

    def step(self, smoothed: Floats, regime: int, values: Floats) -> NDArray[np.bool_]:
        """Take one row into the smoothed departures, and say which channels drift.

        Args:
            smoothed: updated in place.
            regime: number of the row's operating condition, in the order of the features.
            values: of the features' channels, NaN where missing.
        """
        departures = np.dot(self._gain[regime], values)
        departures -= self._offset[regime]
        drifting = np.abs(smoothed) > self._limits
        # A sum of squares within the clip's square has none beyond it, and one with a missing channel is not.
        if not departures.dot(departures) <= self._clip_square or np.count_nonzero(drifting):
            departures = self._departures_apart(regime, values, drifting)
        departures -= smoothed
        departures *= self._alpha
        smoothed += departures
        found: NDArray[np.bool_] = np.abs(smoothed) > self._limits
        if np.count_nonzero(found) and np.count_nonzero(found & ~drifting):
            return self._name_one(smoothed, drifting)
        return found

    def _name_one(self, smoothed: Floats, drifting: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Of channels that newly pass their limits only the farthest drifts: that is what made the others depart.

        Theirs are forgotten then. As long as one that has not passed its own limit is farther, none drifts.
        """
        candidates = self._judged & ~drifting
        farthest = np.where(candidates, np.abs(smoothed), 0).argmax()
        candidates[farthest] = False
        if abs(smoothed[farthest]) > self._limits[farthest]:
            smoothed[candidates] = 0
        else:
            np.clip(smoothed, -self._limits, self._limits, out=smoothed, where=candidates)
        found: NDArray[np.bool_] = np.abs(smoothed) > self._limits
        return found

    def _departures_apart(self, regime: int, values: Floats, drifting: NDArray[np.bool_]) -> Floats:
        """The departures where some channels are missing, drift, or are far off: within ± clip, 0 where missing.

        Each is taken against those that are none of these; all are 0 where too few are.
        """
        z = (values - self._mean[regime]) / self._sd[regime]
        missing = np.isnan(z)
        z[missing] = 0
        apart = missing | drifting
        while np.count_nonzero(apart) <= self._most_apart:
            departures = self._against_the_rest(regime, z, apart)
            departures[apart] = 0
            judged = np.where(self._judged, np.abs(departures), 0)
            farthest = judged.argmax()
            if judged[farthest] <= self._clip:
                break
            apart[farthest] = True
        else:
            return np.zeros_like(z)
        for column in np.flatnonzero(apart & ~missing):
            others = apart.copy()
            others[column] = False
            departures[column] = self._against_the_rest(regime, z, others)[column]
        clipped: Floats = np.clip(departures, -self._clip, self._clip)
        return clipped

    def _against_the_rest(self, regime: int, z: Floats, left_out: NDArray[np.bool_]) -> Floats:
        """The departures of channels from the regression on those that are not left out."""
        precision = self._precision[regime]
        for column in np.flatnonzero(left_out):
            precision = precision - np.outer(precision[column], precision[column]) / precision[column, column]
            # Rounding leaves a little there, by which nothing may be divided.
            precision[column] = precision[:, column] = 0
            precision[column, column] = 1
        departures: Floats = precision @ z / np.sqrt(np.diagonal(precision))
        return departures


def _symmetric(lower: list[list[float]]) -> Floats:
    """A matrix from the rows of its lower triangle."""
    matrix = np.zeros((len(lower), len(lower)))
    for row, numbers in enumerate(lower):
        matrix[row, : row + 1] = matrix[: row + 1, row] = numbers
    return matrix
