"""Out-of-fold predictions as kept on disk, and what is made of them: calibration, widening, the tables of the card."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models import figures
from models.figures import Table
from models.training import calibration as calibrating
from models.training import recipe
from models.training.calibration import fit_sides
from models.training.faults import CHANNELS_OUT
from models.training.folds import CUTS_PER_ENGINE
from shared.interval import calibrate, widen
from shared.manifest import HEADS, Calibration, Widening
from shared.messages import Flags, RulCycles
from shared.quality import CYCLE, LATE_START, SHORT_HISTORY, STUCK, UNKNOWN_AGE, WINDOW_GAP

SHIPPED = "int8, tflite-runtime"
FLOAT = "float32"
AGE_UNKNOWN = ", age unknown"
SHORT = "short history"
# What the agent says of a history with each fault: how many channels are unusable, and which flags it raises.
RAISED: dict[str, tuple[int, Flags]] = {
    **{fault: (count, {}) for count, fault in enumerate(CHANNELS_OUT, start=1)},
    "a channel stuck": (1, {"": [STUCK]}),
    "cycles skipped": (0, {CYCLE: [WINDOW_GAP]}),
    "starts late": (0, {CYCLE: [LATE_START]}),
    SHORT: (0, {CYCLE: [SHORT_HISTORY]}),
}

Floats = NDArray[np.float64]


class FaultHeads(NamedTuple):
    """What was predicted where something was wrong with the histories: true RUL in cycles, and heads in cycles.

    Where no history is without the fault, both heads are the same.
    """

    truth: Floats
    with_fault: Floats
    without_fault: Floats


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
        """Read what ``save`` wrote."""
        with np.load(path) as stored:
            arrays = dict(stored)
        names = dict.fromkeys(name.split("/")[1] for name in arrays if name.startswith("fault/"))
        return cls(
            arrays["subset"],
            arrays["truth"],
            {name.partition("/")[2]: heads for name, heads in arrays.items() if name.startswith("variant/")},
            {name: FaultHeads(*(arrays[f"fault/{name}/{part}"] for part in FaultHeads._fields)) for name in names},
        )


def pooled(parts: list[HeldOut]) -> HeldOut:
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


def fit_calibration(parts: list[HeldOut]) -> Calibration:
    """Calibration on all the given folds, of the shipped file with the age known."""
    whole = pooled(parts)
    return calibrating.fit_calibration(_rul(whole.variants[SHIPPED]), _capped(whole.truth))


def fit_widening(parts: list[HeldOut], calibration: Calibration) -> Widening:
    """By how much each fault asks for a wider interval than calibration alone gives."""
    whole = pooled(parts)
    widening = Widening(
        unusable_channels=[
            fit_sides(_calibrated(whole.faults[fault].with_fault, calibration), _capped(whole.faults[fault].truth))
            for fault in CHANNELS_OUT
        ],
        flags={
            UNKNOWN_AGE: fit_sides(
                _calibrated(whole.variants[SHIPPED + AGE_UNKNOWN], calibration), _capped(whole.truth)
            )
        },
        short_history_rows=recipe.SHORT_HISTORY_ROWS,
    )
    by_flag = {}
    for fault, (unusable_channels, flags) in RAISED.items():
        for flag in (flag for names in flags.values() for flag in names):
            truth, heads, _ = whole.faults[fault]
            # What the channel's being unusable widens already does not count again.
            found = [widen(widening, unusable_channels, {}, one) for one in _calibrated(heads, calibration)]
            by_flag[flag] = fit_sides(found, _capped(truth))
    return msgspec.structs.replace(widening, flags=widening.flags | by_flag)


def calibrated(parts: list[HeldOut], variant: str) -> tuple[HeldOut, list[RulCycles]]:
    """All folds as one with their predictions as the agent would make them, each fold calibrated on the others.

    As at the agent, calibration is that of the shipped file with the age known, whatever the variant.
    """
    predictions: list[RulCycles] = []
    flags: Flags = {CYCLE: [UNKNOWN_AGE]} if AGE_UNKNOWN in variant else {}
    for part in parts:
        others = [other for other in parts if other is not part]
        calibration = fit_calibration(others)
        widening = fit_widening(others, calibration)
        predictions += [widen(widening, 0, flags, one) for one in _calibrated(part.variants[variant], calibration)]
    return pooled(parts), predictions


def subset_tables(parts: list[HeldOut], variant: str) -> dict[str, Table]:
    """Columns ``C125`` and ``RAW`` of each subset, and under ``pooled`` of all of them."""
    whole, predictions = calibrated(parts, variant)
    tables = {}
    for name in (*dict.fromkeys(whole.subset.tolist()), "pooled"):
        chosen = np.flatnonzero(whole.subset == name) if name != "pooled" else np.arange(len(whole.truth))
        tables[name] = figures.both_columns(
            [predictions[row] for row in chosen], whole.truth[chosen], recipe.CAP_CYCLES, CUTS_PER_ENGINE
        )
    return tables


def levels(parts: list[HeldOut], variant: str) -> tuple[Table, Table]:
    """Figures of one variant by predicted median and by true RUL, all subsets together."""
    whole, predictions = calibrated(parts, variant)
    return (
        figures.by_median(predictions, _capped(whole.truth)),
        figures.by_truth(predictions, whole.truth, _capped(whole.truth)),
    )


def fault_table(parts: list[HeldOut]) -> Table:
    """What each fault costs: RMSE without and with it (C125), coverage as it is and widened, width in cycles.

    Offsets and widening of each fold come from the other folds.
    """
    return {fault: _fault_figures(parts, fault) for fault in parts[0].faults}


def _fault_figures(parts: list[HeldOut], fault: str) -> dict[str, float]:
    narrow: list[RulCycles] = []
    wide: list[RulCycles] = []
    for part in parts:
        others = [other for other in parts if other is not part]
        calibration = fit_calibration(others)
        widening = fit_widening(others, calibration)
        found = _calibrated(part.faults[fault].with_fault, calibration)
        narrow += found
        wide += [widen(widening, *RAISED[fault], one) for one in found]
    truth, with_fault, without_fault = pooled(parts).faults[fault]
    label = _capped(truth)
    return {
        "rmse_without": figures.rmse_capped(without_fault[:, 0], label, recipe.CAP_CYCLES),
        "rmse_with": figures.rmse_capped(with_fault[:, 0], label, recipe.CAP_CYCLES),
        **{f"{name}_as_is": value for name, value in figures.interval(narrow, label).items()},
        **{f"{name}_widened": value for name, value in figures.interval(wide, label).items()},
    }


def _calibrated(heads: Floats, calibration: Calibration) -> list[RulCycles]:
    return [calibrate(calibration, one) for one in _rul(heads)]


def _rul(heads: Floats) -> list[RulCycles]:
    return [RulCycles(**dict(zip(HEADS, row, strict=True))) for row in heads.tolist()]


def _capped(truth: Floats) -> Floats:
    return np.minimum(truth, recipe.CAP_CYCLES)
