"""What out-of-fold predictions say: calibration and widening of the released model, and the tables of its card."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models import figures
from models.figures import Table
from models.training import calibration as calibrating
from models.training import recipe
from models.training.bundles import UNWIDENED
from models.training.calibration import fit_sides
from models.training.faults import CHANNELS_OUT, FLAGS, SHORT, STARTS_LATE, STARTS_LATE_SHORT
from models.training.folds import CUTS_PER_ENGINE
from models.training.held_out import AGE_UNKNOWN, SHIPPED, FaultHeads, HeldOut, pooled
from models.training.specification import FEATURE_CHANNELS
from shared.interval import calibrate, widen
from shared.manifest import HEADS, Calibration, Sides, Widening
from shared.messages import Flags, RulCycles

NOT_FLAGGED = ", not flagged"
ALONE = (SHORT, STARTS_LATE, STARTS_LATE_SHORT)

Floats = NDArray[np.float64]


class _Judged(NamedTuple):
    """Histories with a fault: true RUL, calibrated predictions without it and with it, and the agent's flags."""

    truth: Floats
    without_fault: list[RulCycles]
    predictions: list[RulCycles]
    flags: list[Flags]

    def where(self, flagged: NDArray[np.bool_]) -> "_Judged":
        rows = np.flatnonzero(flagged).tolist()
        return _Judged(
            self.truth[rows],
            [self.without_fault[row] for row in rows],
            [self.predictions[row] for row in rows],
            [self.flags[row] for row in rows],
        )

    def has(self, flag: str) -> NDArray[np.bool_]:
        return np.array([any(flag in raised for raised in flags.values()) for flags in self.flags], bool)

    def widened(self, widening: Widening) -> list[RulCycles]:
        """As the agent would predict; what it says of channels counts by the channel."""
        return [
            widen(widening, len(flags.keys() & FEATURE_CHANNELS), flags, one)
            for one, flags in zip(self.predictions, self.flags, strict=True)
        ]


def fit_calibration(parts: list[HeldOut]) -> Calibration:
    """Calibration on all the given folds, of the shipped file with the age known."""
    whole = pooled(parts)
    return calibrating.fit_calibration(_rul(whole.variants[SHIPPED]), _capped(whole.truth))


def fit_ageless_calibration(parts: list[HeldOut], known: Calibration) -> Calibration:
    """The same without the age, but for the mean, which is moved as where the age is known: that scores better."""
    whole = pooled(parts)
    own = calibrating.fit_calibration(_rul(whole.variants[SHIPPED + AGE_UNKNOWN]), _capped(whole.truth))
    return msgspec.structs.replace(own, mean=known.mean)


def fit_widening(parts: list[HeldOut], calibration: Calibration) -> Widening:
    """By how much each fault asks for a wider interval than calibration alone gives.

    Fitted where the agent flags the fault. What else it flags there widens already and does not count again; so first
    come the faults that come alone.
    """
    whole = pooled(parts)
    nothing_yet = dict.fromkeys(FLAGS.values(), Sides(below=0.0, above=0.0))
    widening = msgspec.structs.replace(UNWIDENED, flags=nothing_yet)
    for fault in (*ALONE, *CHANNELS_OUT, *(fault for fault in FLAGS if fault not in ALONE)):
        found = _judged(whole.faults[fault], calibration)
        if fault in CHANNELS_OUT:
            sides = fit_sides(found.widened(widening), _capped(found.truth))
            channels = list(widening.unusable_channels)
            channels[CHANNELS_OUT.index(fault)] = sides
            widening = msgspec.structs.replace(widening, unusable_channels=channels)
        else:
            found = found.where(found.has(FLAGS[fault]))
            sides = fit_sides(found.widened(widening), _capped(found.truth))
            flags = widening.flags | {FLAGS[fault]: sides}
            widening = msgspec.structs.replace(widening, flags=flags)
    return widening


def calibrated(parts: list[HeldOut], variant: str) -> tuple[HeldOut, list[RulCycles]]:
    """All folds as one with their predictions as the agent would make them, each fold calibrated on the others.

    As at the agent, calibration is that of the shipped file, with the age known or without it as the variant has it.
    """
    predictions: list[RulCycles] = []
    for part, others in _folds(parts):
        calibration = fit_calibration(others)
        if AGE_UNKNOWN in variant:
            calibration = fit_ageless_calibration(others, calibration)
        predictions += _calibrated(part.variants[variant], calibration)
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

    Where the agent does not flag some of the histories, they have a row of their own. Calibration and widening of each
    fold come from the other folds.
    """
    found: dict[str, list[_Judged]] = {fault: [] for fault in parts[0].faults}
    wide: dict[str, list[RulCycles]] = {fault: [] for fault in found}
    for part, others in _folds(parts):
        calibration = fit_calibration(others)
        widening = fit_widening(others, calibration)
        for fault, heads in part.faults.items():
            judged = _judged(heads, calibration)
            found[fault].append(judged)
            wide[fault] += judged.widened(widening)
    table = {}
    for fault, judged_parts in found.items():
        whole = _joined(judged_parts)
        flagged = whole.has(FLAGS[fault]) if fault in FLAGS else np.ones(len(whole.flags), bool)
        for name, chosen in ((fault, flagged), (fault + NOT_FLAGGED, ~flagged)):
            if chosen.any():
                table[name] = _fault_figures(whole.where(chosen), [wide[fault][row] for row in np.flatnonzero(chosen)])
    return table


def _fault_figures(found: _Judged, wide: list[RulCycles]) -> dict[str, float]:
    label = _capped(found.truth)
    return {
        "histories": float(len(wide)),
        "rmse_without": figures.rmse_capped(_means(found.without_fault), label, recipe.CAP_CYCLES),
        "rmse_with": figures.rmse_capped(_means(found.predictions), label, recipe.CAP_CYCLES),
        **{f"{name}_as_is": value for name, value in figures.interval(found.predictions, label).items()},
        **{f"{name}_widened": value for name, value in figures.interval(wide, label).items()},
    }


def _folds(parts: list[HeldOut]) -> Iterator[tuple[HeldOut, list[HeldOut]]]:
    for part in parts:
        yield part, [other for other in parts if other is not part]


def _judged(found: FaultHeads, calibration: Calibration) -> _Judged:
    flags = [msgspec.json.decode(one, type=Flags) for one in found.flags.tolist()]
    with_fault, without_fault = (_calibrated(heads, calibration) for heads in (found.with_fault, found.without_fault))
    return _Judged(found.truth, without_fault, with_fault, flags)


def _joined(parts: list[_Judged]) -> _Judged:
    lists = ([row for part in parts for row in getattr(part, name)] for name in _Judged._fields[1:])
    return _Judged(np.concatenate([part.truth for part in parts]), *lists)


def _calibrated(heads: Floats, calibration: Calibration) -> list[RulCycles]:
    return [calibrate(calibration, one) for one in _rul(heads)]


def _rul(heads: Floats) -> list[RulCycles]:
    return [RulCycles(**dict(zip(HEADS, row, strict=True))) for row in heads.tolist()]


def _means(predictions: list[RulCycles]) -> Floats:
    return np.array([one.mean for one in predictions])


def _capped(truth: Floats) -> Floats:
    return np.minimum(truth, recipe.CAP_CYCLES)
