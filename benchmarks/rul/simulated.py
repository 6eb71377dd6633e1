"""How real the simulator is: the recipe trained on simulated engines alone, judged on C-MAPSS training engines.

Method: for each seed as many engines of each type are simulated as a student of the recipe sees, simulated and real
together. A student is trained on them, calibrated on as many others as the training file has, and judged on the C-MAPSS
training engines at the cuts of the protocol and on simulated engines of a third draw. Engines and student change with
the seed: ± is the standard deviation over seeds. Beside it the released model, by the out-of-fold figures of its card
and on the same simulated engines, and the constant that has the least RMSE on each subset.

The simulator's constants were fitted to the very engines that are judged here: the student is a stranger to them, its
simulator is not. With --held-out neither is: the constants are fitted anew to each half of the engines and what is made
with them is judged on the other half, FD001's too, by the present form of the program that fits them.

Needs the training environment, which ``make train`` installs:
    PYTHONPATH=. .venv-train/bin/python -m benchmarks.rul.simulated --data FOLDER --seeds 2
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from benchmarks.rul.simulated_table import (
    AGES,
    CONSTANT,
    POOLED,
    REAL_TO_REAL,
    REAL_TO_SIMULATED,
    SIMULATED_TO_REAL,
    SIMULATED_TO_SIMULATED,
    Results,
    table,
)
from models import figures
from models.figures import CAP_CYCLES, Table
from models.reading import read_lives
from models.training import recipe
from models.training.calibration import fit_calibration
from models.training.card import ERRORS
from models.training.folds import CUTS_PER_ENGINE, cut_rows, folds
from models.training.held_out import AGE_UNKNOWN, SHIPPED
from models.training.runs import training_files
from models.training.simulated import Simulator, fit_simulator, simulate
from models.training.specification import Subsets, life_features
from shared.bundle import Bundle, find_bundle, read_bundle
from shared.cmapss import SUBSETS
from shared.errors import SpoolwatchError
from shared.features import Features
from shared.interval import calibrate
from shared.manifest import HEADS
from shared.messages import RulCycles
from shared.network import Network
from shared.scoring import phm08_score
from simulators.engine_model import frozen_constants

RUNTIME = "tflite-runtime"


class Judged(NamedTuple):
    """Calibrated predictions at the cuts, engine by engine; subset and true RUL in cycles of each."""

    subset: NDArray[np.str_]
    truth: NDArray[np.float64]
    predictions: list[RulCycles]


class Trial(NamedTuple):
    """A simulator, by its constants for each subset, and the C-MAPSS engines that its students are judged on."""

    simulator: Simulator
    judged_on: Subsets


def read_real(data: Path) -> Subsets:
    """The C-MAPSS training engines."""
    return {subset: read_lives(data / name) for subset, name in zip(SUBSETS, training_files(data), strict=True)}


def frozen(real: Subsets) -> list[Trial]:
    """The simulator as it is, judged on all engines, to which it was fitted."""
    return [Trial({subset: frozen_constants(subset) for subset in real}, real)]


def held_out(real: Subsets) -> list[Trial]:
    """Simulators fitted to one half of the engines, each judged on the other."""
    halves = [
        {
            subset: [lives[position] for position in folds(len(lives), 2, recipe.FOLD_SEED)[half]]
            for subset, lives in real.items()
        }
        for half in range(2)
    ]
    return [Trial(fit_simulator(other), half) for half, other in (halves, halves[::-1])]


def for_training(simulator: Simulator, real: Subsets, seed: int) -> Subsets:
    """As many engines of each type as a student of the recipe sees, so that its epochs suffice."""
    draws = [simulate(simulator, real, f"training {k}", seed) for k in range(1 + recipe.SIMULATED_PER_REAL)]
    return {subset: [life for draw in draws for life in draw[subset]] for subset in real}


def judge(bundle: Bundle, subsets: Subsets, *, age_known: bool = True) -> Judged:
    """Predict engines at their cuts with the int8 file and its calibration."""
    features, network = Features(bundle.manifest.features), Network(bundle, RUNTIME)
    names, truth, rows = [], [], []
    for name, life in ((name, life) for name, lives in subsets.items() for life in lives):
        cut = cut_rows(life, name, recipe.FOLD_SEED)
        names += [name] * len(cut)
        truth.append(life.rul_cycles[cut])
        rows.append(life_features(features, life.cycles, life.values)[cut])
    known = np.concatenate(rows)
    stored = [
        network.run(network.quantise(row))
        for row in (features.with_age(known) if age_known else features.without_age(known))
    ]
    output = bundle.manifest.output
    heads = (np.array(stored, np.float64) - output.zero_point) * output.scale * bundle.manifest.head_scale_cycles
    raw = [RulCycles(**dict(zip(HEADS, row, strict=True))) for row in heads.tolist()]
    predictions = [calibrate(bundle.manifest.calibration, one) for one in raw]
    return Judged(np.array(names), np.concatenate(truth).astype(np.float64), predictions)


def train(subsets: Subsets, seed: int, after_epoch: Callable[[], None]) -> Bundle:
    """A student of the recipe, not yet calibrated; only here is TensorFlow needed."""
    from models.training import student, trial

    student.make_deterministic()
    _, bundle = trial.train_student(subsets, {}, seed, {}, after_epoch)
    return bundle


def calibrated(bundle: Bundle, subsets: Subsets) -> Bundle:
    """A bundle that is not calibrated yet, calibrated on engines that it did not see."""
    _, truth, predictions = judge(bundle, subsets)
    calibration = fit_calibration(predictions, np.minimum(truth, recipe.CAP_CYCLES))
    return Bundle(bundle.path, msgspec.structs.replace(bundle.manifest, calibration=calibration), bundle.model)


def errors(judged: Judged) -> Table:
    """Column C125 of each subset and of all."""
    return {
        name: figures.both_columns(part.predictions, part.truth, CAP_CYCLES, CUTS_PER_ENGINE)[f"C{CAP_CYCLES:.0f}"]
        for name, part in _by_subset(judged).items()
    }


def bands(judged: Judged) -> Table:
    """Errors and coverage of each subset by band of the true RUL."""
    return {
        f"{name} {band}": found
        for name, part in _by_subset(judged).items()
        for band, found in figures.by_band(part.predictions, part.truth, CAP_CYCLES).items()
    }


def constant(judged: Judged) -> Table:
    """What the constant with the least RMSE on each subset costs, chosen on these very cuts."""
    found = {}
    for name, part in _by_subset(judged).items():
        label = np.minimum(part.truth, CAP_CYCLES)
        error = label.mean() - label
        found[name] = {
            "rul_cycles": round(float(label.mean()), 4),
            "rmse": round(float(error.std()), 4),
            "score_mean": round(float(phm08_score(error).mean()), 4),
        }
    return found


def of_card(card: str, variant: str) -> Table:
    """The out-of-fold figures that a card tells of each subset and of all: RMSE, score per cut and bias, C125."""
    section = card.partition(f"### Errors, C{CAP_CYCLES:.0f}\n")[2].partition("###")[0]
    head, _, *rows = ([cell.strip() for cell in line.split("|")] for line in section.splitlines() if line[:1] == "|")
    column = {figure: head.index(ERRORS[figure]) for figure in ("rmse", "score_mean", "bias", "rmse_near_failure")}
    values = {row[1]: row for row in rows}
    return {
        name: {figure: float(values[f"{name}: {variant}"][number].split(" ")[0]) for figure, number in column.items()}
        for name in (*SUBSETS, POOLED)
    }


def run_seed(
    trials: list[Trial], real: Subsets, seed: int, released: Bundle, after_epoch: Callable[[], None]
) -> Results:
    """Simulate, train, calibrate and judge with one seed; the trials' engines are told of together."""
    found: dict[str, list[Judged]] = {}
    for simulator, judged_on in trials:
        student = train(for_training(simulator, real, seed), seed, after_epoch)
        student = calibrated(student, simulate(simulator, real, "calibration", seed))
        test = simulate(simulator, judged_on, "test", seed)
        for age, age_known in AGES.items():
            for key, bundle, engines in (
                (SIMULATED_TO_REAL, student, judged_on),
                (SIMULATED_TO_SIMULATED, student, test),
                (REAL_TO_SIMULATED, released, test),
            ):
                found.setdefault(f"{key}, {age}", []).append(judge(bundle, engines, age_known=age_known))
    whole = {key: _joined(parts) for key, parts in found.items()}
    return {key: errors(judged) for key, judged in whole.items()} | {
        f"{key}, bands": bands(whole[f"{key}, age known"]) for key in (SIMULATED_TO_REAL, SIMULATED_TO_SIMULATED)
    }


def measure(data: Path, seeds: int, trials_of: Callable[[Subsets], list[Trial]]) -> Results:
    """All seeds, mean and standard deviation of each figure, and what to hold them against."""
    real, released = read_real(data), read_bundle(find_bundle("turbofan"))
    trials = trials_of(real)
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(f"{seeds * len(trials)} students, epochs", total=seeds * len(trials) * recipe.EPOCHS)
        runs = [run_seed(trials, real, seed, released, lambda: progress.advance(task)) for seed in range(seeds)]
    card = (released.path / "card.md").read_text()
    results = {name: figures.mean_and_sd([run[name] for run in runs]) for name in runs[0]}
    results |= {
        f"{REAL_TO_REAL}, {age}": of_card(card, SHIPPED if age_known else SHIPPED + AGE_UNKNOWN)
        for age, age_known in AGES.items()
    }
    return results | {CONSTANT: constant(judge(released, real))}


def _joined(parts: list[Judged]) -> Judged:
    subset, truth, predictions = zip(*parts, strict=True)
    return Judged(np.concatenate(subset), np.concatenate(truth), [one for each in predictions for one in each])


def _by_subset(judged: Judged) -> dict[str, Judged]:
    parts = {POOLED: judged}
    for name in dict.fromkeys(judged.subset.tolist()):
        chosen = np.flatnonzero(judged.subset == name)
        predictions = [judged.predictions[number] for number in chosen]
        parts[name] = Judged(judged.subset[chosen], judged.truth[chosen], predictions)
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the C-MAPSS training files")
    parser.add_argument(
        "--seeds", type=int, default=2, choices=range(1, 10), metavar="N", help="students, minutes each (default 2)"
    )
    parser.add_argument(
        "--held-out", action="store_true", help="fit the simulator to each half of the engines, judge on the other half"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    try:
        results = measure(arguments.data, arguments.seeds, held_out if arguments.held_out else frozen)
    except SpoolwatchError as error:
        sys.exit(str(error))
    except ModuleNotFoundError as error:
        sys.exit(f"the Python package {error.name} is missing: run this in the training environment (--help)")
    print(json.dumps(results) if arguments.json else table(results))


if __name__ == "__main__":
    main()
