"""The tables of the protocol: errors, score, coverage and width, over all cuts and by level of the RUL."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from shared.messages import RulCycles
from shared.scoring import phm08_score

NEAR_FAILURE_CYCLES = 50
# The cap of the labels in the column that the field compares, whatever cap a model was trained with.
CAP_CYCLES = 125.0
BOOTSTRAPS = 2000
BANDS = {"rul_0_50": (0, 50), "rul_51_110": (51, 110), "rul_above_110": (111, 10**9)}
TRUE_LEVELS = [20.0, 50.0, 110.0]
MEDIAN_LEVELS = [20.0, 50.0, 80.0, 110.0]

Table = dict[str, dict[str, float]]


def both_columns(
    predictions: Sequence[RulCycles], truth: NDArray[np.float64], cap_cycles: float, cuts_per_engine: int
) -> Table:
    """Column ``C125``: labels capped and the mean clipped to 0…cap; column ``RAW``: both as they are.

    Args:
        predictions: engine by engine, each with the same number of cuts.
        truth: the true RUL of each.
        cap_cycles: the cap of the labels.
        cuts_per_engine: how many predictions belong to one engine.
    """
    mean = _head(predictions, "mean")
    capped = np.minimum(truth, cap_cycles)
    error = {f"C{cap_cycles:.0f}": np.clip(mean, 0, cap_cycles) - capped, "RAW": mean - truth}
    table = {
        column: _errors(each, truth) | _bootstrap(each.reshape(-1, cuts_per_engine)) for column, each in error.items()
    }
    table[f"C{cap_cycles:.0f}"] |= _interval(predictions, capped, truth)
    return table


def by_band(predictions: Sequence[RulCycles], truth: NDArray[np.float64], cap_cycles: float) -> Table:
    """Per band of the true RUL: errors of the capped column, coverage and mean width of the unclipped interval."""
    label = np.minimum(truth, cap_cycles)
    error = np.clip(_head(predictions, "mean"), 0, cap_cycles) - label
    low, high = (_head(predictions, head) for head in ("q05", "q95"))
    within = {name: (truth >= first) & (truth <= last) for name, (first, last) in BANDS.items()}
    return {
        name: {
            "predictions": float(band.sum()),
            "rmse": float(np.sqrt(_mean(error[band] ** 2))),
            "bias": _mean(error[band]),
            "coverage": _mean(((low <= label) & (label <= high))[band]),
            "width_cycles": _mean((high - low)[band]),
        }
        for name, band in within.items()
    }


def by_median(predictions: Sequence[RulCycles], label: NDArray[np.float64]) -> Table:
    """Per level of the predicted median: the share of labels at or below each quantile, which should be its own."""
    heads = {head: _head(predictions, head) for head in ("q05", "q50", "q95")}
    level = np.searchsorted(MEDIAN_LEVELS, heads["q50"])
    return {
        name: {
            "share": float(np.mean(level == number)),
            **{f"to_{head}": float(np.mean((label <= value)[level == number])) for head, value in heads.items()},
            "width_cycles": float(np.mean((heads["q95"] - heads["q05"])[level == number])),
        }
        for number, name in enumerate(_names(MEDIAN_LEVELS))
    }


def by_truth(predictions: Sequence[RulCycles], truth: NDArray[np.float64], label: NDArray[np.float64]) -> Table:
    """Per level of the true RUL: the bias of mean and median, as they are, against the label."""
    level = np.searchsorted(TRUE_LEVELS, truth)
    errors = {head: _head(predictions, head) - label for head in ("mean", "q50")}
    return {
        name: {f"bias_{head}": float(np.mean(error[level == number])) for head, error in errors.items()}
        for number, name in enumerate(_names(TRUE_LEVELS))
    }


def mean_and_sd(runs: Sequence[Table]) -> Table:
    """Mean over runs of each figure, and its standard deviation under ``<figure>_sd``."""
    table: Table = {}
    for column in runs[0]:
        table[column] = {}
        for figure in runs[0][column]:
            values = [run[column][figure] for run in runs]
            table[column][figure] = round(float(np.mean(values)), 4)
            table[column][f"{figure}_sd"] = round(float(np.std(values, ddof=1)), 4) if len(values) > 1 else 0.0
    return table


def _head(predictions: Sequence[RulCycles], head: str) -> NDArray[np.float64]:
    return np.array([getattr(one, head) for one in predictions])


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float:
    """The mean; NaN where a small set has nothing in a band."""
    return float(values.mean()) if values.size else float("nan")


def _names(levels: list[float]) -> list[str]:
    return [
        f"up to {levels[0]:.0f}",
        *(f"{low:.0f} to {high:.0f}" for low, high in pairwise(levels)),
        f"above {levels[-1]:.0f}",
    ]


def _errors(error: NDArray[np.float64], truth: NDArray[np.float64]) -> dict[str, float]:
    near = error[truth <= NEAR_FAILURE_CYCLES]
    return {
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mae": float(np.mean(np.abs(error))),
        "bias": float(np.mean(error)),
        "rmse_near_failure": float(np.sqrt(_mean(near**2))),
        "score_sum": float(phm08_score(error).sum()),
        "score_mean": float(phm08_score(error).mean()),
    }


def _bootstrap(error: NDArray[np.float64]) -> dict[str, float]:
    """The 95 % intervals of RMSE and score sum when engines (rows of ``error``) are drawn anew with replacement."""
    drawn = np.random.default_rng(0).integers(0, len(error), (BOOTSTRAPS, len(error)))
    rmse = np.sqrt(np.mean(error**2, axis=1)[drawn].mean(axis=1))
    score_sum = phm08_score(error).sum(axis=1)[drawn].sum(axis=1)
    return {
        f"{figure}_{end}": float(value)
        for figure, values in (("rmse", rmse), ("score_sum", score_sum))
        for end, value in zip(("low", "high"), np.percentile(values, [2.5, 97.5]), strict=True)
    }


def rmse_capped(mean: NDArray[np.float64], label: NDArray[np.float64], cap_cycles: float) -> float:
    """RMSE in column ``C125`` alone, of means in cycles against capped labels."""
    return float(np.sqrt(np.mean((np.clip(mean, 0, cap_cycles) - label) ** 2)))


def interval(predictions: Sequence[RulCycles], label: NDArray[np.float64]) -> dict[str, float]:
    """Coverage of the unclipped interval and its mean width in cycles."""
    low, high = (_head(predictions, head) for head in ("q05", "q95"))
    return {
        "coverage": float(np.mean((low <= label) & (label <= high))),
        "width_cycles": float(np.mean(high - low)),
    }


def _interval(
    predictions: Sequence[RulCycles], label: NDArray[np.float64], truth: NDArray[np.float64]
) -> dict[str, float]:
    """Coverage of the unclipped interval, overall and by band of the true RUL, and its mean width in cycles."""
    low, high = (_head(predictions, head) for head in ("q05", "q95"))
    covered = (low <= label) & (label <= high)
    bands = {
        f"coverage_{name}": _mean(covered[(truth >= first) & (truth <= last)]) for name, (first, last) in BANDS.items()
    }
    return interval(predictions, label) | bands
