"""Fourth step: offsets from held-out engines, so that each quantile has its share of them below it.

Conformalised quantile regression (Romano et al., NeurIPS 2019) with lower and upper side apart; the median and the
mean are moved by their own median and mean error. Fitted by level of the predicted median, on unclipped int8 outputs
for engines that the network did not see.
"""

import numpy as np
from numpy.typing import NDArray

from shared.manifest import HEADS, Calibration
from shared.messages import RulCycles

NODES = [0.0, 25.0, 50.0, 75.0, 100.0, 125.0]
MISS_RATE = 0.05
NO_OFFSETS = Calibration(nodes=[0.0], mean=[0.0], q05=[0.0], q50=[0.0], q95=[0.0])

Floats = NDArray[np.float64]


def fit_offsets(predictions: list[RulCycles], label: Floats) -> Calibration:
    """Fit the offsets of each node to the held-out predictions that are nearest to it; each node needs some."""
    heads = {head: np.array([getattr(one, head) for one in predictions]) for head in HEADS}
    nearest = np.abs(np.subtract.outer(heads["q50"], NODES)).argmin(axis=1)

    def residuals(head: str) -> list[Floats]:
        return [(label - heads[head])[nearest == node] for node in range(len(NODES))]

    return Calibration(
        nodes=NODES,
        mean=[_rounded(np.mean(part)) for part in residuals("mean")],
        q05=[_rounded(-_conformal_quantile(-part)) for part in residuals("q05")],
        q50=[_rounded(np.median(part)) for part in residuals("q50")],
        q95=[_rounded(_conformal_quantile(part)) for part in residuals("q95")],
    )


def _conformal_quantile(residuals: Floats) -> np.float64:
    """The smallest residual that leaves at most the miss rate above it, with the finite-sample correction."""
    rank = min(len(residuals), int(np.ceil((len(residuals) + 1) * (1 - MISS_RATE))))
    quantile: np.float64 = np.sort(residuals)[rank - 1]
    return quantile


def _rounded(cycles: np.floating) -> float:
    return round(float(cycles), 3)
