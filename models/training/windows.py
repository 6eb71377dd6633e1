"""Windows of raw z-scores, as the DCNN baseline eats them; the z-score is that of ``shared.features``."""

import msgspec
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from models.reading import Life
from models.training import recipe
from models.training.specification import UNLIMITED, fit_specification, life_features
from shared.features import Features, feature_names

WINDOW_ROWS = 30
# As Li et al. chose them: the sensors that change in FD001.
CHANNELS = (
    "T24", "T30", "T50", "P30", "Nf", "Nc", "Ps30", "phi", "NRf", "NRc", "BPR", "htBleed", "W31", "W32",
)  # fmt: skip


def fit_z_scores(subset: str, lives: list[Life]) -> Features:
    """Fit the operating regimes of one subset's training engines; the features hold the z-scores themselves."""
    spec = fit_specification({subset: lives}, recipe.CAP_CYCLES)
    # A mean over one row is that row.
    spec = msgspec.structs.replace(spec, window_rows=2, mean_rows=[1], lag_rows=1, slope_rows=[], health=[])
    width = len(feature_names(spec))
    return Features(msgspec.structs.replace(spec, center=[0.0] * width, scale=[1.0] * width, clip=UNLIMITED))


def windows(features: Features, life: Life) -> NDArray[np.float32]:
    """The window that ends at each row of a life, shape (cycles, ``WINDOW_ROWS``, channels), oldest row first.

    A history that is shorter than the window is padded by repeating its first row.
    """
    names = feature_names(features.spec)
    columns = [names.index(f"{channel}.mean1") for channel in CHANNELS]
    z = life_features(features, life.cycles, life.values)[:, columns]
    padded = np.concatenate((np.repeat(z[:1], WINDOW_ROWS - 1, axis=0), z))
    return np.moveaxis(sliding_window_view(padded, WINDOW_ROWS, axis=0), 1, 2)
