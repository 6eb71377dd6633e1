"""First step: the training engines with their labels, folds by engine, and pseudo-test cuts."""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.cmapss import read_file
from shared.errors import SpoolwatchError

CUTS_PER_ENGINE = 25
EARLIEST_CUT_CYCLE = 20


@dataclass(frozen=True, slots=True)
class Life:
    """One engine from installation to failure: its rows, shape (cycles, 24), and the true RUL after each."""

    unit: int
    values: NDArray[np.float64]

    @property
    def cycles(self) -> NDArray[np.int64]:
        """The cycle of each row, from 1."""
        return np.arange(1, len(self.values) + 1)

    @property
    def rul_cycles(self) -> NDArray[np.int64]:
        """The true RUL after each row."""
        return np.arange(len(self.values))[::-1]


def read_lives(path: Path) -> list[Life]:
    """Read a training file; every engine in it runs until it fails.

    Raises:
        SpoolwatchError: the file is missing or wrong.
    """
    if not path.is_file():
        raise SpoolwatchError(f"{path} is missing: name the folder with the C-MAPSS files (make train DATA=FOLDER)")
    return [Life(unit, values) for unit, values in read_file(path).items()]


def text_sha256(path: Path) -> str:
    """The sha256 of a file's uncompressed text, as published with the data set."""
    content = path.read_bytes()
    return hashlib.sha256(gzip.decompress(content) if path.suffix == ".gz" else content).hexdigest()


def folds(count: int, parts: int, seed: int) -> list[list[int]]:
    """Deal engines into folds, each a list of positions."""
    order = np.random.default_rng(seed).permutation(count)
    return [sorted(order[part::parts].tolist()) for part in range(parts)]


def cut_rows(life: Life, seed: int) -> NDArray[np.int64]:
    """Rows at which a held-out engine's history is cut, as those of the test engines are."""
    generator = np.random.default_rng([seed, life.unit])
    return generator.integers(EARLIEST_CUT_CYCLE - 1, len(life.values) - 1, CUTS_PER_ENGINE)
