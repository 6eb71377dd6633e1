"""The engines of a C-MAPSS file, each with its rows from the first cycle on."""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.cmapss import read_file
from shared.errors import SpoolwatchError


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
