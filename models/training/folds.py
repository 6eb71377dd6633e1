"""Folds by engine, and the pseudo-test cuts of held-out engines."""

import numpy as np
from numpy.typing import NDArray

from models.reading import Life

CUTS_PER_ENGINE = 25
EARLIEST_CUT_CYCLE = 20


def folds(count: int, parts: int, seed: int) -> list[list[int]]:
    """Deal engines into folds, each a list of positions."""
    order = np.random.default_rng(seed).permutation(count)
    return [sorted(order[part::parts].tolist()) for part in range(parts)]


def cut_rows(life: Life, subset: str, seed: int) -> NDArray[np.int64]:
    """Rows at which a held-out engine's history is cut, as those of the test engines are."""
    generator = np.random.default_rng([seed, life.unit, *subset.encode()])
    return generator.integers(EARLIEST_CUT_CYCLE - 1, len(life.values) - 1, CUTS_PER_ENGINE)
