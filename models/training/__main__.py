"""``python -m models.training --data DIR``: trains, judges and writes the released bundle, with one command."""

import argparse
import sys
from pathlib import Path

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models.reading import read_lives, text_sha256
from models.training import bundles, student, trial
from models.training.calibration import fit_offsets
from models.training.card import write_card
from shared.bundle import MODEL_FILE, Bundle, find_bundle
from shared.errors import BundleError, SpoolwatchError
from shared.predictor import Predictor, load_bundle
from shared.runtimes import installed

SUBSET = "FD001"
# Decided by rule before any result: the released student is that of seed 0.
RELEASED_SEED = 0


def release(path: Path, output: Path, progress: Progress) -> Path:
    """Judge the recipe on held-out engines, train the student on all of them, and write its bundle."""
    lives = read_lives(path)
    task = progress.add_task("folds × seeds", total=(trial.FOLDS * len(trial.SEEDS) + 1) * student.EPOCHS)
    runs = [trial.held_out_predictions(lives, seed, lambda: progress.advance(task)) for seed in trial.SEEDS]
    progress.update(task, description="released student")
    _, bundle, features = trial.train_student(
        lives, RELEASED_SEED, {path.name: text_sha256(path)}, lambda: progress.advance(task)
    )
    figures = trial.table(runs)
    shipped = f"int8, {installed()[0]}"
    manifest = msgspec.structs.replace(
        bundle.manifest,
        calibration=fit_offsets(*trial.pooled(runs[trial.SEEDS.index(RELEASED_SEED)], shipped)),
        figures=figures[shipped],
    )
    bundle = Bundle(bundle.path, manifest, bundle.model)
    bundle = bundles.with_golden(bundle, Predictor(bundle, installed()[0]), features, lives[0].values)
    folder = output / bundles.NAME / bundles.VERSION
    card = write_card(bundle.manifest, figures, trial.levels(runs, shipped), len(bundle.model), len(lives))
    bundles.save(bundle, folder, card)
    for runtime in ("tflite-runtime", "ai-edge-litert"):
        load_bundle(folder, runtime)
    return folder


def _compare_with_released(folder: Path) -> str:
    try:
        released = find_bundle(f"{bundles.NAME}@{bundles.VERSION}")
    except BundleError:
        return "not yet released"
    same = (released / MODEL_FILE).read_bytes() == (folder / MODEL_FILE).read_bytes()
    return f"{MODEL_FILE} {'is identical to' if same else 'DIFFERS from'} the released one"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m models.training", description="Train and write the RUL model.")
    parser.add_argument("--data", type=Path, required=True, help="folder with the C-MAPSS files")
    parser.add_argument("--output", type=Path, default=Path(".train"), help="registry folder to write to")
    arguments = parser.parse_args()
    student.make_deterministic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns) as progress:
            folder = release(arguments.data / f"train_{SUBSET}.txt.gz", arguments.output, progress)
    except SpoolwatchError as error:
        sys.exit(f"make train: {error}")
    print(f"{folder}: {_compare_with_released(folder)}")  # noqa: T201  # what the person who ran it waits for


if __name__ == "__main__":
    main()
