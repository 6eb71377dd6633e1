"""Trains the DCNN baseline, a network per subset; predicts held-out engines at their cuts, and the test engines.

What is finished is kept in a folder named after this code and its windows, and not redone. Only predictions are kept.
"""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models.reading import Life, read_lives
from models.training import recipe
from models.training.folds import cut_rows, folds
from models.training.windows import fit_z_scores, windows
from shared.cmapss import SUBSETS
from shared.errors import SpoolwatchError
from shared.features import Features

if TYPE_CHECKING:
    from models.training.dcnn import Dcnn

FULL = -1
STEPS = 2000
_SOURCES = ("baseline", "dcnn", "folds", "windows")


class Job(NamedTuple):
    """One network to train: without one fold, or on all training engines where ``fold`` is ``FULL``."""

    subset: str
    seed: int
    fold: int


# Out of fold with the seed that is released, as the student's first figures.
JOBS = (
    *(Job(subset, recipe.RELEASED_SEED, fold) for subset in SUBSETS for fold in range(recipe.FOLDS)),
    *(Job(subset, seed, FULL) for subset in SUBSETS for seed in recipe.SEEDS),
)


class Predicted(NamedTuple):
    """What one network says, in cycles, not clipped.

    Attributes:
        unit, cycle: of each prediction; held-out engines one after the other, each at all its cuts.
        mean: the predicted RUL.
        truth: the true RUL; NaN for test engines.
    """

    unit: NDArray[np.int64]
    cycle: NDArray[np.int64]
    mean: NDArray[np.float64]
    truth: NDArray[np.float64]

    def save(self, path: Path) -> None:
        """Write to a ``.npz`` file, whole or not at all."""
        unfinished = path.with_suffix(".part.npz")
        np.savez(unfinished, **self._asdict())
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Predicted":
        """Read what ``save`` wrote."""
        with np.load(path) as stored:
            return cls(**{name: stored[name] for name in cls._fields})


def run_folder(data: Path, trained: Path) -> Path:
    """Where the results of this code on these windows are.

    Raises:
        SpoolwatchError: a file is missing or wrong.
    """
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    for subset in SUBSETS:
        features = fit_z_scores(subset, _lives(data, "train", subset))
        for kind in ("train", "test"):
            for life in _lives(data, kind, subset):
                digest.update(windows(features, life)[:, -1].tobytes())
    return trained / "dcnn" / digest.hexdigest()[:12]


def result(run: Path, job: Job) -> Path:
    """The file that is there once a job is finished."""
    return run / f"{job.subset}_seed{job.seed}{'' if job.fold == FULL else f'_fold{job.fold}'}.npz"


def train(data: Path, trained: Path) -> Path:
    """Train what is not there yet, one network after the other; returns the folder of the results.

    Args:
        data: folder with the C-MAPSS training and test files.
        trained: where results are kept.

    Raises:
        SpoolwatchError: a file is missing or wrong.
    """
    run = run_folder(data, trained)
    missing = [job for job in JOBS if not result(run, job).exists()]
    if missing:
        _train_all(missing, data, run)
    return run


def _train_all(jobs: list[Job], data: Path, run: Path) -> None:
    from models.training.dcnn import Dcnn
    from models.training.student import make_deterministic

    make_deterministic()
    run.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task(f"{len(jobs)} networks, steps", total=len(jobs) * STEPS)
        network = Dcnn()
        for job in jobs:
            _train_one(network, job, data, lambda: progress.advance(task)).save(result(run, job))


def _train_one(network: "Dcnn", job: Job, data: Path, after_step: Callable[[], None]) -> Predicted:
    features, rows, label = _training_rows(data, job.subset, job.fold)
    network.train(rows, label, STEPS, job.seed, after_step)
    engines, cuts = _to_predict(data, job)
    chosen = [windows(features, life)[cut] for life, cut in zip(engines, cuts, strict=True)]
    truth = [life.rul_cycles[cut].astype(np.float64) for life, cut in zip(engines, cuts, strict=True)]
    if job.fold == FULL:
        truth = [np.full(len(cut), np.nan) for cut in cuts]
    return Predicted(
        np.repeat([life.unit for life in engines], [len(cut) for cut in cuts]),
        np.concatenate(cuts) + 1,
        network.predict(np.concatenate(chosen)).astype(np.float64) * recipe.CAP_CYCLES,
        np.concatenate(truth),
    )


@lru_cache(maxsize=1)
def _training_rows(data: Path, subset: str, fold: int) -> tuple[Features, NDArray[np.float32], NDArray[np.float32]]:
    """The features, every window of the engines outside of the fold, and its label in units of the cap."""
    lives = _lives(data, "train", subset)
    held_out = _held_out(len(lives), fold)
    lives = [life for position, life in enumerate(lives) if position not in held_out]
    features = fit_z_scores(subset, lives)
    label = np.concatenate([np.minimum(life.rul_cycles, recipe.CAP_CYCLES) for life in lives]) / recipe.CAP_CYCLES
    rows = np.concatenate([windows(features, life) for life in lives])
    return features, rows, label.astype(np.float32)


def _to_predict(data: Path, job: Job) -> tuple[list[Life], list[NDArray[np.int64]]]:
    """Engines, and the rows of each after which to predict: its cuts, or its last."""
    if job.fold == FULL:
        engines = _lives(data, "test", job.subset)
        return engines, [np.array([len(life.values) - 1]) for life in engines]
    lives = _lives(data, "train", job.subset)
    engines = [lives[position] for position in _held_out(len(lives), job.fold)]
    return engines, [cut_rows(life, job.subset, recipe.FOLD_SEED) for life in engines]


def _held_out(engines: int, fold: int) -> list[int]:
    return [] if fold == FULL else folds(engines, recipe.FOLDS, recipe.FOLD_SEED)[fold]


@lru_cache(maxsize=2)
def _lives(data: Path, kind: str, subset: str) -> list[Life]:
    return read_lives(_file(data, kind, subset))


def _file(data: Path, kind: str, subset: str) -> Path:
    for path in (data / f"{kind}_{subset}.txt.gz", data / f"{kind}_{subset}.txt"):
        if path.is_file():
            return path
    raise SpoolwatchError(f"{data} has no {kind}_{subset}.txt or .txt.gz: name the folder with the C-MAPSS files")
