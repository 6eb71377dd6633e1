"""The DCNN baseline in the same pipeline: trains what is not there yet, writes its predictions, compares out of fold.

python -m benchmarks.rul.dcnn --data FOLDER

The network gives a point. Its quantiles are that point plus the quantiles of its out-of-fold errors on its subset.
The comparison takes each cut of every held-out engine for a test set: figures are means over the 25 of them, and the
bootstrap draws engines, the same for both models.

Needs the training environment, which ``make train`` installs; ``make train-all`` runs this when the students are done.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.comparison import Difference, differences
from models.figures import CAP_CYCLES
from models.predictions import Prediction, write_predictions
from models.training import baseline, judgement, recipe, runs
from models.training.baseline import FULL, Job, Predicted
from models.training.folds import CUTS_PER_ENGINE
from models.training.held_out import AGE_UNKNOWN, SHIPPED
from shared.cmapss import SUBSETS
from shared.errors import SpoolwatchError
from shared.manifest import HEADS
from shared.messages import RulCycles

PREDICTIONS = Path(__file__).parent / "predictions"
QUANTILES = (0.05, 0.5, 0.95)
HEAD = (
    "| | RMSE | DCNN | 95 % of the difference | PHM08 score per cut | DCNN | 95 % of the difference |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
)

Floats = NDArray[np.float64]


def out_of_fold(run: Path, subset: str) -> Predicted:
    """All folds of one subset, fold by fold."""
    parts = [
        Predicted.load(baseline.result(run, Job(subset, recipe.RELEASED_SEED, fold))) for fold in range(recipe.FOLDS)
    ]
    return Predicted(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def error_quantiles(held_out: Predicted) -> Floats:
    """By how much the capped label is above the prediction, in 5, 50 and 95 % of the cuts."""
    return np.quantile(np.minimum(held_out.truth, CAP_CYCLES) - held_out.mean, QUANTILES)


def predictions(found: Predicted, offsets: Floats) -> list[Prediction]:
    return [
        Prediction(unit, cycle, RulCycles(mean=mean, **dict(zip(HEADS[1:], (mean + offsets).tolist(), strict=True))))
        for unit, cycle, mean in zip(found.unit.tolist(), found.cycle.tolist(), found.mean.tolist(), strict=True)
    ]


def write_test_sets(run: Path, folder: Path) -> None:
    for subset in SUBSETS:
        offsets = error_quantiles(out_of_fold(run, subset))
        for seed in recipe.SEEDS:
            found = Predicted.load(baseline.result(run, Job(subset, seed, FULL)))
            write_predictions(folder / f"{subset}_dcnn_seed{seed}.csv", predictions(found, offsets))


def by_test_set(mean: Floats, truth: Floats) -> Floats:
    """Errors in the column C125, shape (cuts per engine, engines): the engines at one cut each make a test set."""
    error = np.clip(mean, 0, CAP_CYCLES) - np.minimum(truth, CAP_CYCLES)
    return error.reshape(-1, CUTS_PER_ENGINE).T


def compare(run: Path, trained: Path) -> Iterator[str]:
    """The rows of a Markdown table: the released student and the baseline at the same cuts of the same engines."""
    parts = runs.held_out_parts(runs.newest(trained), recipe.RELEASED_SEED)
    for variant, label in ((SHIPPED, "age known"), (SHIPPED + AGE_UNKNOWN, "age unknown")):
        whole, found = judgement.calibrated(parts, variant)
        mean = np.array([one.mean for one in found])
        for subset in SUBSETS:
            own, other = whole.subset == subset, out_of_fold(run, subset)
            if not np.array_equal(whole.truth[own], other.truth):
                raise SpoolwatchError(
                    f"{run} and {trained} hold out other engines of {subset}: train both on the same data"
                )
            a, b = by_test_set(mean[own], whole.truth[own]), by_test_set(other.mean, other.truth)
            found = differences(a, b)
            yield f"| {subset}, {label} | {_cells(found['rmse'], 1)} | {_cells(found['score_sum'], a.shape[1])} |"


def _cells(found: Difference, of: int) -> str:
    return f"{found.a / of:.2f} | {found.b / of:.2f} | {found.low / of:.2f} … {found.high / of:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the C-MAPSS files")
    parser.add_argument("--trained", type=Path, default=Path(".train"), help="what training keeps (default .train)")
    arguments = parser.parse_args()
    try:
        run = baseline.train(arguments.data, arguments.trained)
        write_test_sets(run, PREDICTIONS)
        print(*HEAD, *compare(run, arguments.trained), sep="\n")
    except SpoolwatchError as error:
        sys.exit(str(error))
    except ModuleNotFoundError as error:
        sys.exit(f"the Python package {error.name} is missing: run this in the environment of make train")


if __name__ == "__main__":
    main()
