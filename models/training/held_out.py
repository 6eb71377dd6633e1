"""Out-of-fold predictions as kept on disk, uncalibrated."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SHIPPED = "int8, tflite-runtime"
FLOAT = "float32"
AGE_UNKNOWN = ", age unknown"

Floats = NDArray[np.float64]


class FaultHeads(NamedTuple):
    """What was predicted where something was wrong with the histories, and what the agent's code said of it.

    Attributes:
        truth: true RUL in cycles.
        with_fault, without_fault: heads in cycles, shape (histories, heads); both the same where no history is
            without the fault.
        flags: the flags of the last row of each, as JSON.
    """

    truth: Floats
    with_fault: Floats
    without_fault: Floats
    flags: NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Raw predictions for the engines of one fold, or of all folds together.

    Attributes:
        subset: of each cut, engine by engine, ``CUTS_PER_ENGINE`` cuts each.
        truth: true RUL at each cut.
        variants: how predictions were made → heads in cycles, shape (cuts, heads).
        faults: what was wrong with the history → what was predicted.
    """

    subset: NDArray[np.str_]
    truth: Floats
    variants: dict[str, Floats]
    faults: dict[str, FaultHeads]

    def save(self, path: Path) -> None:
        """Write to a ``.npz`` file, whole or not at all."""
        arrays = {"subset": self.subset, "truth": self.truth}
        arrays |= {f"variant/{name}": heads for name, heads in self.variants.items()}
        arrays |= {
            f"fault/{name}/{part}": array
            for name, found in self.faults.items()
            for part, array in found._asdict().items()
        }
        unfinished = path.with_suffix(".part.npz")
        np.savez(unfinished, **arrays)
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path) -> "HeldOut":
        """Read what ``save`` wrote.

        Raises:
            OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile: it is not there or not whole.
        """
        with path.open("rb") as file, np.load(file) as stored:
            arrays = dict(stored)
        names = dict.fromkeys(name.split("/")[1] for name in arrays if name.startswith("fault/"))
        return cls(
            arrays["subset"],
            arrays["truth"],
            {name.partition("/")[2]: heads for name, heads in arrays.items() if name.startswith("variant/")},
            {name: FaultHeads(*(arrays[f"fault/{name}/{part}"] for part in FaultHeads._fields)) for name in names},
        )


def pooled(parts: Sequence[HeldOut]) -> HeldOut:
    """All folds as one."""
    first = parts[0]
    return HeldOut(
        np.concatenate([part.subset for part in parts]),
        np.concatenate([part.truth for part in parts]),
        {name: np.concatenate([part.variants[name] for part in parts]) for name in first.variants},
        {
            name: FaultHeads(*map(np.concatenate, zip(*(part.faults[name] for part in parts), strict=True)))
            for name in first.faults
        },
    )
