"""How real the simulator is: the recipe trained on simulated engines alone, judged on C-MAPSS training engines.

Method: for each seed as many engines of each type are simulated as its training file has. A student of the very recipe
is trained on them, calibrated on as many others, and judged on the C-MAPSS training engines at the cuts of the protocol
and on simulated engines of a third draw. Engines and student change with the seed: ± is the standard deviation over
seeds. Beside it the released model, by the out-of-fold figures of its card and on the same simulated engines, and the
constant that has the least RMSE on each subset. The simulator's constants were fitted to the very engines that are
judged here, so that it is no stranger to them; the student is.

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

from models import figures
from models.figures import CAP_CYCLES, Table
from models.reading import Life, read_lives
from models.training import recipe
from models.training.calibration import fit_calibration
from models.training.card import ERRORS
from models.training.folds import CUTS_PER_ENGINE, cut_rows
from models.training.held_out import AGE_UNKNOWN, SHIPPED
from models.training.runs import training_files
from models.training.specification import Subsets, life_features
from shared.bundle import Bundle, find_bundle, read_bundle
from shared.cmapss import SUBSETS
from shared.errors import SpoolwatchError
from shared.features import Features
from shared.interval import calibrate
from shared.manifest import HEADS
from shared.messages import RulCycles
from shared.predictor import Network
from simulators.engine_model import SimulatedEngine

RUNTIME = "tflite-runtime"
AGES = {"age known": True, "age unknown": False}
POOLED = "pooled"
REAL_TO_REAL, SIMULATED_TO_REAL = "C-MAPSS to C-MAPSS", "simulated to C-MAPSS"
REAL_TO_SIMULATED, SIMULATED_TO_SIMULATED = "C-MAPSS to simulated", "simulated to simulated"
CONSTANT = "constant to C-MAPSS"
HEAD = """\
                            tested on C-MAPSS engines                                      tested on simulated engines
trained on          C-MAPSS                 simulated engines             no engine      C-MAPSS      simulated
                    RMSE   score   bias     RMSE          score   bias    RMSE   score   RMSE         RMSE"""
LINE = "{:<19} {:<6} {:<7} {:<8} {:<13} {:<7} {:<7} {:<6} {:<7} {:<12} {}"
BANDS_HEAD = """\
student of simulated engines,     tested on C-MAPSS engines                     tested on simulated engines
age known                         RMSE          bias          coverage          RMSE          bias          coverage"""
BANDS_LINE = "{:<33} {:<13} {:<13} {:<17} {:<13} {:<13} {}"

Results = dict[str, Table]


class Judged(NamedTuple):
    """Calibrated predictions at the cuts, engine by engine; subset and true RUL in cycles of each."""

    subset: NDArray[np.str_]
    truth: NDArray[np.float64]
    predictions: list[RulCycles]


def read_real(data: Path) -> Subsets:
    """The C-MAPSS training engines."""
    return {subset: read_lives(data / name) for subset, name in zip(SUBSETS, training_files(data), strict=True)}


def simulate(like: Subsets, draw: str, seed: int) -> Subsets:
    """As many engines of each type; another draw or seed gives engines that share nothing with these."""
    return {
        subset: [
            Life(life.unit, _whole_life(SimulatedEngine(f"{subset}-{draw}-{life.unit}", seed, subset=subset)))
            for life in lives
        ]
        for subset, lives in like.items()
    }


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
    stored = [network.run(network.quantise(row)) for row in (known if age_known else features.forget_age(known))]
    output = bundle.manifest.output
    heads = (np.array(stored, np.float64) - output.zero_point) * output.scale * bundle.manifest.head_scale_cycles
    raw = [RulCycles(**dict(zip(HEADS, row, strict=True))) for row in heads.tolist()]
    predictions = [calibrate(bundle.manifest.calibration, one) for one in raw]
    return Judged(np.array(names), np.concatenate(truth).astype(np.float64), predictions)


def train(subsets: Subsets, seed: int, after_epoch: Callable[[], None]) -> Bundle:
    """A student of the recipe, not yet calibrated; only here is TensorFlow needed."""
    from models.training import student, trial

    student.make_deterministic()
    _, bundle = trial.train_student(subsets, seed, {}, after_epoch)
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
            "score_mean": round(float(figures.score(error).mean()), 4),
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


def run_seed(real: Subsets, seed: int, released: Bundle, after_epoch: Callable[[], None]) -> Results:
    """Simulate, train, calibrate and judge with one seed."""
    student = train(simulate(real, "training", seed), seed, after_epoch)
    student = calibrated(student, simulate(real, "calibration", seed))
    test = simulate(real, "test", seed)
    results = {}
    for age, age_known in AGES.items():
        on_real, on_test = (judge(student, engines, age_known=age_known) for engines in (real, test))
        results |= {
            f"{SIMULATED_TO_REAL}, {age}": errors(on_real),
            f"{SIMULATED_TO_SIMULATED}, {age}": errors(on_test),
            f"{REAL_TO_SIMULATED}, {age}": errors(judge(released, test, age_known=age_known)),
        }
        if age_known:
            results |= {
                f"{SIMULATED_TO_REAL}, bands": bands(on_real),
                f"{SIMULATED_TO_SIMULATED}, bands": bands(on_test),
            }
    return results


def measure(data: Path, seeds: int) -> Results:
    """All seeds, mean and standard deviation of each figure, and what to hold them against."""
    real, released = read_real(data), read_bundle(find_bundle("turbofan"))
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(f"{seeds} students, epochs", total=seeds * recipe.EPOCHS)
        runs = [run_seed(real, seed, released, lambda: progress.advance(task)) for seed in range(seeds)]
    card = (released.path / "card.md").read_text()
    results = {name: figures.mean_and_sd([run[name] for run in runs]) for name in runs[0]}
    results |= {
        f"{REAL_TO_REAL}, {age}": of_card(card, SHIPPED if age_known else SHIPPED + AGE_UNKNOWN)
        for age, age_known in AGES.items()
    }
    return results | {CONSTANT: constant(judge(released, real))}


def table(results: Results) -> str:
    """The tables for a person."""
    lines = [HEAD]
    for age, age_known in AGES.items():
        for name in (*SUBSETS, POOLED):
            card, own, other, both, fixed = (
                results[key][name]
                for key in (
                    f"{REAL_TO_REAL}, {age}",
                    f"{SIMULATED_TO_REAL}, {age}",
                    f"{REAL_TO_SIMULATED}, {age}",
                    f"{SIMULATED_TO_SIMULATED}, {age}",
                    CONSTANT,
                )
            )
            cells = [f"{card['rmse']:.2f}", f"{card['score_mean']:.2f}", f"{card['bias']:+.2f}"]
            cells += [_spread(own, "rmse"), f"{own['score_mean']:.2f}", f"{own['bias']:+.2f}"]
            cells += [
                f"{fixed['rmse']:.2f}",
                f"{fixed['score_mean']:.1f}",
                _spread(other, "rmse"),
                _spread(both, "rmse"),
            ]
            lines.append(LINE.format(name if age_known else f"{name}, {age}", *cells))
    lines += ["", BANDS_HEAD]
    by_band, expected = (results[f"{key}, bands"] for key in (SIMULATED_TO_REAL, SIMULATED_TO_SIMULATED))
    for name, found in by_band.items():
        cells = [_spread(one, figure) for one in (found, expected[name]) for figure in ("rmse", "bias", "coverage")]
        lines.append(BANDS_LINE.format(name, *cells))
    return "\n".join(lines)


def _whole_life(engine: SimulatedEngine) -> NDArray[np.float64]:
    return np.array([row.values for row in engine.rows()])


def _by_subset(judged: Judged) -> dict[str, Judged]:
    parts = {POOLED: judged}
    for name in dict.fromkeys(judged.subset.tolist()):
        chosen = np.flatnonzero(judged.subset == name)
        predictions = [judged.predictions[number] for number in chosen]
        parts[name] = Judged(judged.subset[chosen], judged.truth[chosen], predictions)
    return parts


def _spread(found: dict[str, float], figure: str) -> str:
    return f"{found[figure]:.2f} ± {found[f'{figure}_sd']:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the C-MAPSS training files")
    parser.add_argument(
        "--seeds", type=int, default=2, choices=range(1, 10), metavar="N", help="students, minutes each (default 2)"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    try:
        results = measure(arguments.data, arguments.seeds)
    except SpoolwatchError as error:
        sys.exit(str(error))
    except ModuleNotFoundError as error:
        sys.exit(f"the Python package {error.name} is missing: run this in the training environment (--help)")
    print(json.dumps(results) if arguments.json else table(results))


if __name__ == "__main__":
    main()
