"""Every engine's last cycle through the very code of the agent, and the CSV files that hold such predictions."""

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from models.reading import Life
from models.stepping import steps
from shared.bundle import MODEL_FILE, find_bundle
from shared.cmapss import SUBSETS, open_lines
from shared.errors import BundleError, RowError, SpoolwatchError
from shared.messages import RulCycles
from shared.predictor import Predictor

# One joint model.
CHAMPIONS = dict.fromkeys(SUBSETS, "turbofan")
HEADER = ("unit", "cycle", "rul_mean", "rul_q05", "rul_q50", "rul_q95")
DECIMALS = 3


class Prediction(msgspec.Struct, frozen=True):
    """The calibrated, unclipped RUL of one engine after a cycle."""

    unit: int
    cycle: int
    rul_cycles: RulCycles


def model_folder(model: str) -> Path:
    """The folder of a released name, of a bundle folder, or of a ``model.tflite`` with its manifest beside it.

    Raises:
        BundleError: there is none.
    """
    path = Path(model)
    if path.suffix != ".tflite":
        return find_bundle(model)
    if path.name != MODEL_FILE or not path.is_file():
        raise BundleError(
            f"{path}: there is no such model file; it is named {MODEL_FILE} and has its manifest beside it"
        )
    return path.parent


def predict(
    lives: Sequence[Life], predictor: Predictor, *, age_known: bool = True, after_engine: Callable[[], None]
) -> list[Prediction]:
    """Predict after the last row of every engine.

    Args:
        lives: the engines.
        predictor: the model; it takes every row of an engine, as it does at the agent.
        age_known: whether it may use the cycle as the engine's age.
        after_engine: called after each engine.

    Raises:
        SpoolwatchError: the model refuses to predict at an engine's last row; names unit and reason.
    """
    predictions = []
    for life in lives:
        step = steps(predictor, life.cycles, life.values, age_known=age_known)[-1]
        if step.outcome is None:
            raise SpoolwatchError(f"unit {life.unit}, cycle {len(life.values)}: no prediction: {step.refusal}")
        predictions.append(Prediction(life.unit, len(life.values), step.outcome.rul_cycles))
        after_engine()
    return predictions


def write_predictions(path: Path, predictions: Sequence[Prediction]) -> None:
    """Write a CSV file; the same predictions give the same bytes. An earlier file stays until the new one is whole.

    Raises:
        SpoolwatchError: it cannot be written.
    """
    text = "\n".join([",".join(HEADER), *map(_line, predictions), ""])
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_text(text, encoding="ascii", newline="\n")
        os.replace(fresh, path)
    except OSError as error:
        raise SpoolwatchError(f"{path} cannot be written: {error.strerror}") from error


def read_predictions(path: Path) -> list[Prediction]:
    """Read a CSV file of predictions, in the order of its units.

    Raises:
        SpoolwatchError: names file and line; a unit occurs twice, a number is none or the quantiles are not in order.
    """
    lines = [line.rstrip("\n") for line in _lines(path)]
    if not lines or lines[0] != ",".join(HEADER):
        raise SpoolwatchError(f"{path} line 1: the header is not {','.join(HEADER)}")
    predictions: dict[int, Prediction] = {}
    for number, line in enumerate(lines[1:], start=2):
        try:
            prediction = _parsed(line)
        except ValueError as error:
            raise SpoolwatchError(f"{path} line {number}: {error}") from error
        if prediction.unit in predictions:
            raise SpoolwatchError(f"{path} line {number}: unit {prediction.unit} for the second time")
        predictions[prediction.unit] = prediction
    return [predictions[unit] for unit in sorted(predictions)]


def read_truth(path: Path) -> list[int]:
    """Read the true RUL of units 1, 2, 3, … from a file with one whole number per line, as ``RUL_FD001.txt``.

    Raises:
        SpoolwatchError: names file and line.
    """
    truth = []
    for number, line in enumerate(_lines(path), start=1):
        text = line.strip()
        if not text.isdecimal() or len(text) > 9:
            raise SpoolwatchError(f"{path} line {number}: {text[:40]!r} is not a RUL, a whole number of cycles")
        truth.append(int(text))
    if not truth:
        raise SpoolwatchError(f"{path}: the file is empty")
    return truth


def check_units(path: Path, predictions: Sequence[Prediction], engines: int) -> None:
    """Check that there is a prediction for every unit from 1 on, and for no other.

    Raises:
        SpoolwatchError: names the units.
    """
    units, wanted = {one.unit for one in predictions}, set(range(1, engines + 1))
    for problem, found in (("lacks", wanted - units), ("has", units - wanted)):
        if found:
            named = ", ".join(map(str, sorted(found)[:10])) + (", …" if len(found) > 10 else "")
            raise SpoolwatchError(
                f"{path} {problem} unit {named}: the truth is of units 1 to {engines}; are both of the same subset?"
            )


def _line(prediction: Prediction) -> str:
    rul = prediction.rul_cycles
    # Adding 0 turns -0.0 into 0.0.
    cells = (f"{round(cycles, DECIMALS) + 0.0:.{DECIMALS}f}" for cycles in (rul.mean, rul.q05, rul.q50, rul.q95))
    return f"{prediction.unit},{prediction.cycle},{','.join(cells)}"


def _parsed(line: str) -> Prediction:
    cells = line.split(",")
    if len(cells) != len(HEADER):
        raise ValueError(f"{len(cells)} columns instead of {len(HEADER)}")
    for name, cell in zip(HEADER[:2], cells[:2], strict=True):
        if not cell.isdecimal() or len(cell) > 10 or int(cell) < 1:
            raise ValueError(f"{name} {cell[:40]!r} is not a whole number from 1")
    try:
        mean, q05, q50, q95 = map(float, cells[2:])
    except ValueError:
        raise ValueError(f"not four numbers of cycles: {','.join(cells[2:])[:80]}") from None
    if not all(map(math.isfinite, (mean, q05, q50, q95))):
        raise ValueError("a number is not finite")
    if not q05 <= q50 <= q95:
        raise ValueError(f"the quantiles are not in order: {q05}, {q50}, {q95}")
    return Prediction(int(cells[0]), int(cells[1]), RulCycles(mean=mean, q05=q05, q50=q50, q95=q95))


def _lines(path: Path) -> list[str]:
    try:
        return list(open_lines(path))
    except RowError as error:
        raise SpoolwatchError(f"{path} cannot be read: {error.__cause__}") from error
