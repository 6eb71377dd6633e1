"""What the student is shown of its training rows."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.training import recipe
from shared.features import MARKS, Features

Floats = NDArray[np.float32]


def batches(rows: int, generator: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """The rows of one epoch, each once, in random order; the last batch may be smaller."""
    order = generator.permutation(rows)
    for start in range(0, rows, recipe.BATCH):
        yield order[start : start + recipe.BATCH]


def disturbed(features: Features, batch: Floats, generator: np.random.Generator, noise: float) -> Floats:
    """A batch with noise, of which some rows lose their age, and some the engine's own first rows.

    Args:
        features: knows what is shown with the age and without it, and how to forget the first rows.
        batch: shape (rows, features); not changed.
        generator: of noise and choices.
        noise: standard deviation of what is added to all but the marks.
    """
    measured = batch.shape[1] - len(MARKS)
    batch = batch.copy()
    batch[:, :measured] += noise * generator.standard_normal((len(batch), measured), np.float32)
    ageless = generator.random(len(batch)) < recipe.AGE_DROPOUT
    batch = np.where(ageless[:, None], features.without_age(batch), features.with_age(batch))
    forgetting = generator.random(len(batch)) < recipe.BASELINE_DROPOUT
    return np.where(forgetting[:, None], features.forget_baseline(batch), batch)


def range_sample(features: Features, rows: Floats, seed: int) -> Floats:
    """Rows by which the ranges of the int8 form are set, a fifth of them without the age."""
    chosen = np.random.default_rng(seed).choice(len(rows), recipe.CALIBRATION_ROWS, replace=False)
    without = recipe.CALIBRATION_ROWS // 5
    return np.concatenate((features.without_age(rows[chosen[:without]]), features.with_age(rows[chosen[without:]])))
