"""Files of predictions held against the true RUL: the whole table of the protocol."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from models.figures import CAP_CYCLES, Table, both_columns, by_band, mean_and_sd
from models.predictions import check_units, read_predictions, read_truth

ERRORS = {
    "rmse": ("RMSE", 2),
    "rmse_near_failure": ("RMSE, RUL ≤ 50", 2),
    "score_sum": ("PHM08 score, sum", 1),
    "score_mean": ("PHM08 score per engine", 3),
    "mae": ("MAE", 2),
    "bias": ("bias", 2),
}
INTERVALS = ("rmse", "score_sum")
BANDS = {"rul_0_50": "RUL 0-50", "rul_51_110": "RUL 51-110", "rul_above_110": "RUL above 110"}
BAND_FIGURES = {
    "predictions": ("engines", 0), "rmse": ("RMSE", 2), "bias": ("bias", 2),
    "coverage": ("coverage", 3), "width_cycles": ("width", 1),
}  # fmt: skip


class Evaluation(msgspec.Struct, frozen=True):
    """The figures of one model, or their mean and standard deviation over several seeds of it.

    Attributes:
        columns: ``C125`` and ``RAW``, each with its figures and, over seeds, ``<figure>_sd``.
        bands: the same by band of the true RUL, in the column C125.
    """

    predictions: list[str]
    truth: str
    engines: int
    columns: Table
    bands: Table

    def __str__(self) -> str:
        """The table for a person."""
        return "\n".join(_lines(self))


def evaluate(files: Sequence[Path], truth_file: Path) -> Evaluation:
    """Hold files of predictions, one per seed, against the true RUL.

    Raises:
        SpoolwatchError: a file is wrong, or lacks or has surplus units.
    """
    truth = np.array(read_truth(truth_file), dtype=np.float64)
    columns, bands = [], []
    for path in files:
        predictions = read_predictions(path)
        check_units(path, predictions, len(truth))
        rul = [one.rul_cycles for one in predictions]
        columns.append(both_columns(rul, truth, CAP_CYCLES, 1))
        bands.append(by_band(rul, truth, CAP_CYCLES))
    return Evaluation(
        predictions=[str(path) for path in files],
        truth=str(truth_file),
        engines=len(truth),
        columns=mean_and_sd(columns),
        bands=mean_and_sd(bands),
    )


def _lines(evaluation: Evaluation) -> list[str]:
    columns, seeds = evaluation.columns, len(evaluation.predictions)
    capped = columns["C125"]
    of = f"mean ± standard deviation of {seeds} seeds" if seeds > 1 else evaluation.predictions[0]
    return [
        f"{of}, {evaluation.engines} engines, truth {evaluation.truth}",
        "C125: labels min(RUL, 125), predictions clipped to 0…125; RAW: both as they are",
        "",
        _row("", list(columns)),
        *(
            _row(label, [_shown(figures, name, decimals, seeds) for figures in columns.values()])
            for name, (label, decimals) in ERRORS.items()
        ),
        "95 % bootstrap interval over engines" + (", mean over the seeds" if seeds > 1 else ""),
        *(
            _row(f"  {ERRORS[name][0]}", [_between(figures, name, ERRORS[name][1]) for figures in columns.values()])
            for name in INTERVALS
        ),
        "",
        "90 % interval q05…q95, unclipped, against min(RUL, 125)",
        _row("  coverage", [_shown(capped, "coverage", 3, seeds)]),
        _row("  mean width, cycles", [_shown(capped, "width_cycles", 1, seeds)]),
        "",
        _row("C125, by true RUL", [label for label, _ in BAND_FIGURES.values()]),
        *(
            _row(
                f"  {label}",
                [
                    _shown(evaluation.bands[band], name, decimals, 1 if name == "predictions" else seeds)
                    for name, (_, decimals) in BAND_FIGURES.items()
                ],
            )
            for band, label in BANDS.items()
        ),
    ]


def _row(label: str, cells: Sequence[str]) -> str:
    return f"{label:<26}" + "".join(f"{cell:>18}" for cell in cells)


def _shown(figures: dict[str, float], name: str, decimals: int, seeds: int) -> str:
    shown = f"{figures[name]:.{decimals}f}"
    return f"{shown} ± {figures[f'{name}_sd']:.{decimals}f}" if seeds > 1 else shown


def _between(figures: dict[str, float], name: str, decimals: int) -> str:
    return f"{figures[f'{name}_low']:.{decimals}f} … {figures[f'{name}_high']:.{decimals}f}"
