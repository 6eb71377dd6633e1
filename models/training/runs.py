"""Trains the seeds and their folds, side by side on the processors there are; what is finished is kept and not redone.

A run has a folder of its own, named after all that decides what is kept in it: this code and the data. In it,
``seed<k>/fold<n>.npz`` holds out-of-fold predictions, ``seed<k>/uncalibrated`` the student of all engines and
``simulators`` the constants of the simulated engines that they train on. What is made of them takes seconds and is made
anew each time.
"""

import ast
import fcntl
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from zipfile import BadZipFile

import msgspec

from models.reading import read_lives, text_sha256
from models.training import bundles, judgement, recipe, simulated
from models.training.held_out import HeldOut
from models.training.processes import FULL, Job, train_all
from models.training.specification import Subsets
from models.training.version import CREATED, NAME, VERSION
from shared.bundle import Bundle, read_bundle
from shared.cmapss import SUBSETS
from shared.errors import SpoolwatchError
from shared.runtimes import choose_runtime

# Its engines fly in every regime.
GOLDEN_SUBSET = "FD004"

_REPOSITORY = Path(__file__).parents[2]
# The code that decides what is kept.
SOURCES = (
    "models/reading.py",
    "models/stepping.py",
    *(f"models/training/{name}.py" for name in ("batches", "bundles", "drift", "faults", "folds", "held_out")),
    *(f"models/training/{name}.py" for name in ("recipe", "simulated", "specification", "student", "trial")),
    *(f"shared/{name}.py" for name in ("cmapss", "drift", "features", "manifest", "network", "predictor")),
    *(f"shared/{name}.py" for name in ("quality", "rows")),
    *(f"simulators/{name}.py" for name in ("engine_model", "fit", "fit_population")),
)


def train(data: Path, output: Path, *, everything: bool) -> Path:
    """Train what the release needs, or all seeds; goes on where it was stopped. Returns the folder of the run.

    Args:
        data: folder with the C-MAPSS training files.
        output: where runs are kept.
        everything: all seeds, not only the one that is released.

    Raises:
        SpoolwatchError: a file is missing or wrong, a student could not be trained, or another process trains this run.
    """
    run = output / _digest(training_files(data))
    seeds = recipe.SEEDS if everything else (recipe.RELEASED_SEED,)
    with _locked(run):
        missing = [job for seed in seeds for job in _jobs(seed) if not _is_whole(run, job)]
        if missing:
            train_all(missing, train_one, data, run)
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


def calibrated_bundle(run: Path, seed: int) -> Bundle:
    """A seed's student, calibrated on its own folds, as the next version; its figures are still to come."""
    bundle, parts = read_bundle(result(run, Job(seed, FULL))), held_out_parts(run, seed)
    calibration = judgement.fit_calibration(parts)
    manifest = msgspec.structs.replace(
        bundle.manifest,
        name=NAME,
        version=VERSION,
        created=CREATED,
        calibration=calibration,
        ageless_calibration=judgement.fit_ageless_calibration(parts, calibration),
        widening=judgement.fit_widening(parts, calibration),
    )
    return Bundle(bundle.path, manifest, bundle.model)


def finished_seeds(run: Path) -> list[int]:
    """Seeds of a run with a student and all its folds."""
    return [seed for seed in recipe.SEEDS if all(_is_whole(run, job) for job in _jobs(seed))]


def newest(output: Path) -> Path:
    """The run of the present code that was trained last.

    Raises:
        SpoolwatchError: there is none whose released seed is finished.
    """
    released = Job(recipe.RELEASED_SEED, FULL)
    found = [run for run in output.glob("*") if recipe.RELEASED_SEED in finished_seeds(run) and _is_of_this_code(run)]
    if not found:
        raise SpoolwatchError(f"{output} holds no finished run of this code: train first (make train DATA=FOLDER)")
    return max(found, key=lambda run: result(run, released).stat().st_mtime)


def result(run: Path, job: Job) -> Path:
    """The file or folder that is there once a job is finished."""
    return run / f"seed{job.seed}" / ("uncalibrated" if job.fold == FULL else f"fold{job.fold}.npz")


def train_one(job: Job, data: Path, run: Path, after_epoch: Callable[[], None]) -> None:
    """Train one student and keep what comes of it; in a process of its own, the only kind that loads TensorFlow."""
    from models.training import student, trial

    student.make_deterministic()
    path = result(run, job)
    path.parent.mkdir(parents=True, exist_ok=True)
    subsets = _subsets(data)
    constants = run / "simulators" / ("all.json" if job.fold == FULL else f"fold{job.fold}.json")
    if job.fold != FULL:
        trial.held_out(subsets, job.fold, job.seed, constants, after_epoch).save(path)
        return
    made = simulated.beside(subsets, job.seed, constants)
    _, bundle = trial.train_student(subsets, made, job.seed, training_files(data), after_epoch)
    bundles.save(bundles.with_golden(bundle, choose_runtime("auto"), subsets[GOLDEN_SUBSET][0]), path)


def _jobs(seed: int) -> list[Job]:
    return [Job(seed, fold) for fold in (*range(recipe.FOLDS), FULL)]


def _is_whole(run: Path, job: Job) -> bool:
    """Whether a result is there and can be read; a power cut may have torn it."""
    path = result(run, job)
    try:
        read_bundle(path) if job.fold == FULL else HeldOut.load(path)
    except (SpoolwatchError, OSError, EOFError, ValueError, KeyError, BadZipFile):
        return False
    return True


@contextmanager
def _locked(run: Path) -> Iterator[None]:
    """Keep other processes from training the same run; the lock goes with the process."""
    run.mkdir(parents=True, exist_ok=True)
    with (run / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SpoolwatchError(
                f"{run} is being trained by another process: wait for its end, or stop it; what it has finished is kept"
            ) from error
        yield


def _is_of_this_code(run: Path) -> bool:
    """A card tells of the present recipe; a run of another one is none of its business."""
    manifest = read_bundle(result(run, Job(recipe.RELEASED_SEED, FULL))).manifest
    return run.name == _digest(manifest.training_files)


def _path(data: Path, subset: str) -> Path:
    for path in (data / f"train_{subset}.txt.gz", data / f"train_{subset}.txt"):
        if path.is_file():
            return path
    raise SpoolwatchError(f"{data} has no train_{subset}.txt or .txt.gz: name the folder with the C-MAPSS files")


def _digest(files: dict[str, str]) -> str:
    parts = [*files.values(), *(_code(_REPOSITORY / name) for name in SOURCES)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _code(path: Path) -> str:
    """What a module does: its syntax tree without docstrings."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            del node.body[0]
    return ast.dump(tree)


@cache
def _subsets(data: Path) -> Subsets:
    return {subset: read_lives(_path(data, subset)) for subset in SUBSETS}
