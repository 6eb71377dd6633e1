"""Fourth step: what held-out engines say of the heads, so that each quantile has its share of them below it.

Conformalised quantile regression (Romano et al., NeurIPS 2019) with lower and upper side apart, each by a factor on the
network's own distance from its median, so that sure predictions stay surer than others and no interval collapses; the
median and the mean are moved by their own median and mean error. Fitted by level of the predicted median, on unclipped
int8 outputs for engines that the network did not see. The ranks are those of the held-out cuts: cuts of one engine are
alike, so that the coverage is what out-of-fold figures show, not what theory promises for independent examples.
"""

import numpy as np
from numpy.typing import NDArray

from shared.errors import SpoolwatchError
from shared.interval import SMALLEST_DISTANCE_CYCLES
from shared.manifest import HEADS, Calibration, Sides
from shared.messages import RulCycles

NODES = [0.0, 10.0, 25.0, 50.0, 75.0, 100.0, 125.0]
MISS_RATE = 0.05
SMALLEST_FACTOR = 0.01

Floats = NDArray[np.float64]


def fit_calibration(predictions: list[RulCycles], label: Floats) -> Calibration:
    """Fit the values of each node to the held-out predictions that are nearest to it.

    Raises:
        SpoolwatchError: a node has none.
    """
    mean, q05, q50, q95 = (np.array([getattr(one, head) for one in predictions]) for head in HEADS)
    nearest = np.abs(np.subtract.outer(q50, NODES)).argmin(axis=1)
    for number, node in enumerate(NODES):
        if number not in nearest:
            raise SpoolwatchError(
                f"no held-out prediction is near {node:.0f} cycles, so that nothing can be calibrated there: the model "
                "is trained too little, or on too few engines"
            )

    def by_node(values: Floats) -> list[Floats]:
        return [values[nearest == node] for node in range(len(NODES))]

    median = [_rounded(np.median(part)) for part in by_node(label - q50)]
    error = label - q50 - np.interp(q50, NODES, median)
    below, above = (np.maximum(distance, SMALLEST_DISTANCE_CYCLES) for distance in (q50 - q05, q95 - q50))
    return Calibration(
        nodes=NODES,
        mean=[_rounded(np.mean(part)) for part in by_node(label - mean)],
        median=median,
        below=[_factor(part) for part in by_node(-error / below)],
        above=[_factor(part) for part in by_node(error / above)],
    )


def fit_sides(predictions: list[RulCycles], label: Floats) -> Sides:
    """How much farther calibrated bounds must reach to miss no more held-out labels than allowed."""
    low, high = (np.array([getattr(one, head) for one in predictions]) for head in ("q05", "q95"))
    return Sides(
        below=max(0.0, _rounded(_conformal_quantile(low - label))),
        above=max(0.0, _rounded(_conformal_quantile(label - high))),
    )


def _conformal_quantile(residuals: Floats) -> np.float64:
    """The smallest residual that leaves at most the miss rate above it, with the finite-sample correction."""
    rank = min(len(residuals), int(np.ceil((len(residuals) + 1) * (1 - MISS_RATE))))
    quantile: np.float64 = np.sort(residuals)[rank - 1]
    return quantile


def _factor(ratios: Floats) -> float:
    return max(SMALLEST_FACTOR, _rounded(_conformal_quantile(ratios)))


def _rounded(cycles: np.floating) -> float:
    return round(float(cycles), 3)
