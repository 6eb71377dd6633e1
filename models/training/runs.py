"""Trains the seeds and their folds, side by side on the processors there are; what is finished is kept and not redone.

A run has a folder of its own, named after all that decides its result: this code, the features and the data. In it,
``seed<k>/fold<n>.npz`` holds out-of-fold predictions and ``seed<k>/`` a whole bundle, calibrated on them.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from queue import Empty, Queue
from typing import NamedTuple

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models.reading import read_lives, text_sha256
from models.training import bundles, recipe
from models.training.held_out import HeldOut, fit_calibration, fit_widening
from models.training.specification import Subsets
from shared import manifest as manifests
from shared.bundle import MODEL_FILE, Bundle, read_bundle
from shared.cmapss import SUBSETS
from shared.errors import SpoolwatchError
from shared.runtimes import choose_runtime

LOOK_INTERVAL_S = 0.5
FULL = -1
# Its engines fly in every regime.
GOLDEN_SUBSET = "FD004"

_REPOSITORY = Path(__file__).parents[2]
_SOURCES = (
    "models/reading.py",
    *(f"models/training/{name}.py" for name in ("faults", "folds", "recipe", "specification", "student", "trial")),
    "shared/features.py",
)


class Job(NamedTuple):
    """One student to train: without one fold, or on all engines where ``fold`` is ``FULL``."""

    seed: int
    fold: int


def train(data: Path, output: Path, *, everything: bool) -> Path:
    """Train what the release needs, or all seeds; goes on where it was stopped. Returns the folder of the run.

    Args:
        data: folder with the C-MAPSS training files.
        output: where runs are kept.
        everything: all seeds, not only the one that is released.

    Raises:
        SpoolwatchError: a file is missing or wrong.
    """
    files = training_files(data)
    run = output / _digest(files)
    seeds = recipe.SEEDS if everything else (recipe.RELEASED_SEED,)
    jobs = [Job(seed, fold) for seed in seeds for fold in (*range(recipe.FOLDS), FULL)]
    missing = [job for job in jobs if not result(run, job).exists()]
    if missing:
        _train_all(missing, data, run)
    for seed in seeds:
        _finish(run, seed)
    return run


def training_files(data: Path) -> dict[str, str]:
    """Names of the training files with the sha256 of their text.

    Raises:
        SpoolwatchError: one is missing.
    """
    paths = [_path(data, subset) for subset in SUBSETS]
    return {path.name: text_sha256(path) for path in paths}


def held_out_parts(run: Path, seed: int) -> list[HeldOut]:
    """All folds of one seed."""
    return [HeldOut.load(result(run, Job(seed, fold))) for fold in range(recipe.FOLDS)]


def finished_seeds(run: Path) -> list[int]:
    """Seeds of a run with a whole bundle."""
    return [seed for seed in recipe.SEEDS if (seed_folder(run, seed) / MODEL_FILE).exists()]


def newest(output: Path) -> Path:
    """The run of the present code that was trained last.

    Raises:
        SpoolwatchError: there is none whose released seed is finished.
    """
    found = [run for run in output.glob("*") if recipe.RELEASED_SEED in finished_seeds(run) and _is_of_this_code(run)]
    if not found:
        raise SpoolwatchError(f"{output} holds no finished run of this code: train first (make train DATA=FOLDER)")
    return max(found, key=lambda run: (seed_folder(run, recipe.RELEASED_SEED) / MODEL_FILE).stat().st_mtime)


def seed_folder(run: Path, seed: int) -> Path:
    """Where a seed's folds and bundle are."""
    return run / f"seed{seed}"


def _is_of_this_code(run: Path) -> bool:
    """A card tells of the present recipe; a run of another one is none of its business."""
    return run.name == _digest(manifests.read(seed_folder(run, recipe.RELEASED_SEED)).training_files)


def _path(data: Path, subset: str) -> Path:
    for path in (data / f"train_{subset}.txt.gz", data / f"train_{subset}.txt"):
        if path.is_file():
            return path
    raise SpoolwatchError(f"{data} has no train_{subset}.txt or .txt.gz: name the folder with the C-MAPSS files")


def _digest(files: dict[str, str]) -> str:
    parts = [*files.values(), *(hashlib.sha256((_REPOSITORY / name).read_bytes()).hexdigest() for name in _SOURCES)]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:12]


def result(run: Path, job: Job) -> Path:
    """The file that is there once a job is finished."""
    name = f"uncalibrated/{manifests.FILE_NAME}" if job.fold == FULL else f"fold{job.fold}.npz"
    return seed_folder(run, job.seed) / name


def _train_all(jobs: list[Job], data: Path, run: Path) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    context = get_context("spawn")
    with (
        Progress(*columns) as progress,
        context.Manager() as manager,
        # A process for each student: what was trained before it in the same one would change it in the last bit.
        ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=context, max_tasks_per_child=1) as pool,
    ):
        epochs = manager.Queue()
        task = progress.add_task(f"{len(jobs)} students, epochs", total=len(jobs) * recipe.EPOCHS)
        futures = {pool.submit(_train_one, job, data, run, epochs) for job in jobs}
        while futures:
            done, futures = wait(futures, LOOK_INTERVAL_S, FIRST_EXCEPTION)
            progress.advance(task, sum(1 for _ in _waiting(epochs)))
            _raise_first(done, futures)


def _raise_first(done: set[Future[None]], rest: set[Future[None]]) -> None:
    for future in done:
        if future.exception():
            for other in rest:
                other.cancel()
            future.result()


def _waiting(queue: "Queue[None]") -> Iterator[None]:
    while True:
        try:
            yield queue.get_nowait()
        except Empty:
            return


def _train_one(job: Job, data: Path, run: Path, epochs: "Queue[None]") -> None:
    """What a process of the pool does: TensorFlow is loaded there only."""
    from models.training import student, trial

    student.make_deterministic()
    after_epoch: Callable[[], None] = lambda: epochs.put(None)  # noqa: E731  # a closure over the queue
    path = result(run, job)
    path.parent.mkdir(parents=True, exist_ok=True)
    if job.fold != FULL:
        trial.held_out(_subsets(data), job.fold, job.seed, after_epoch).save(path)
        return
    _, bundle = trial.train_student(_subsets(data), job.seed, training_files(data), after_epoch)
    bundle = bundles.with_golden(bundle, choose_runtime("auto"), _subsets(data)[GOLDEN_SUBSET][0])
    bundles.save(bundle, path.parent)


@cache
def _subsets(data: Path) -> Subsets:
    return {subset: read_lives(_path(data, subset)) for subset in SUBSETS}


def _finish(run: Path, seed: int) -> None:
    """Calibrate a seed's student on its own folds and write its bundle."""
    bundle = read_bundle(result(run, Job(seed, FULL)).parent)
    parts = held_out_parts(run, seed)
    calibration = fit_calibration(parts)
    manifest = msgspec.structs.replace(
        bundle.manifest, calibration=calibration, widening=fit_widening(parts, calibration)
    )
    bundles.save(Bundle(bundle.path, manifest, bundle.model), seed_folder(run, seed))
