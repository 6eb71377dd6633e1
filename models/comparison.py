"""Two models on the same engines: the paired bootstrap of their difference."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.figures import CAP_CYCLES
from models.predictions import check_units, read_predictions, read_truth
from shared.scoring import phm08_score

DRAWS = 10_000
INTERVAL_PERCENT = (2.5, 97.5)

Floats = NDArray[np.float64]


class Difference(msgspec.Struct, frozen=True):
    """One figure of A and of B, each the mean over seeds, and A - B; below 0 A is better.

    Attributes:
        low, high: the 95 % interval of the difference when engines are drawn anew with replacement.
        a_better: the share of draws in which A is better.
    """

    a: float
    b: float
    difference: float
    low: float
    high: float
    a_better: float


class Comparison(msgspec.Struct, frozen=True):
    """``figures`` by column (``C125``, ``RAW``) and then by figure (``rmse``, ``score_sum``)."""

    a: list[str]
    b: list[str]
    truth: str
    engines: int
    figures: dict[str, dict[str, Difference]]

    def __str__(self) -> str:
        """The table for a person."""
        head = f"{'':<18}" + "".join(f"{label:>12}" for label in ("A", "B", "A - B"))
        return "\n".join(
            [
                f"A: {' '.join(self.a)}",
                f"B: {' '.join(self.b)}",
                f"{self.engines} engines, truth {self.truth}; {DRAWS} paired draws of engines; below 0 A is better",
                "",
                f"{head}{'95 % interval':>22}{'A better':>12}",
                *(
                    _line(f"{label}, {column}", found[name])
                    for name, label in (("rmse", "RMSE"), ("score_sum", "PHM08 score"))
                    for column, found in self.figures.items()
                ),
            ]
        )


def compare(a: Sequence[Path], b: Sequence[Path], truth_file: Path) -> Comparison:
    """Compare two models by their predictions of the same engines, one file per seed.

    Raises:
        SpoolwatchError: a file is wrong, or lacks or has surplus units.
    """
    truth = np.array(read_truth(truth_file), dtype=np.float64)
    means = [np.array([_means(path, len(truth)) for path in side]) for side in (a, b)]
    capped = np.minimum(truth, CAP_CYCLES)
    errors = {
        "C125": [np.clip(mean, 0, CAP_CYCLES) - capped for mean in means],
        "RAW": [mean - truth for mean in means],
    }
    return Comparison(
        a=[str(path) for path in a],
        b=[str(path) for path in b],
        truth=str(truth_file),
        engines=len(truth),
        figures={column: differences(*sides) for column, sides in errors.items()},
    )


def _means(path: Path, engines: int) -> Floats:
    predictions = read_predictions(path)
    check_units(path, predictions, engines)
    return np.array([one.rul_cycles.mean for one in predictions])


def differences(a: Floats, b: Floats) -> dict[str, Difference]:
    """Compare errors of both sides, each of shape (seeds, engines); or (test sets of the same engines, engines).

    Returns:
        By figure (``rmse``, ``score_sum``).
    """
    engines = a.shape[1]
    # How often each engine is drawn; the first draw is the engines as they are.
    drawn = np.random.default_rng(0).multinomial(engines, np.full(engines, 1 / engines), DRAWS)
    counts = np.vstack([np.ones(engines, dtype=np.int64), drawn])
    rmse = [np.sqrt(counts @ (side**2).T / engines).mean(axis=1) for side in (a, b)]
    score_sum = [(counts @ phm08_score(side).T).mean(axis=1) for side in (a, b)]
    return {"rmse": _difference(*rmse), "score_sum": _difference(*score_sum)}


def _difference(a: Floats, b: Floats) -> Difference:
    difference = a - b
    low, high = np.percentile(difference[1:], INTERVAL_PERCENT)
    return Difference(
        a=_rounded(a[0]),
        b=_rounded(b[0]),
        difference=_rounded(difference[0]),
        low=_rounded(low),
        high=_rounded(high),
        a_better=_rounded(np.mean(difference[1:] < 0)),
    )


def _rounded(value: np.float64) -> float:
    return round(float(value), 4)


def _line(label: str, found: Difference) -> str:
    between = f"{found.low:.2f} … {found.high:.2f}"
    return f"{label:<18}{found.a:>12.2f}{found.b:>12.2f}{found.difference:>12.2f}{between:>22}{found.a_better:>12.1%}"
