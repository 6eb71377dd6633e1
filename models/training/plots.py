"""The pictures of a card, all of held-out engines."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from models.training import recipe
from models.training.folds import CUTS_PER_ENGINE
from models.training.held_out import SHIPPED, HeldOut
from models.training.judgement import calibrated
from shared.cmapss import SUBSETS
from shared.messages import RulCycles

BAND_CYCLES = 25
INK, FILL = "#1f4e79", "#9dc3e6"


def draw_all(parts: list[HeldOut], folder: Path) -> None:
    """Draw predicted against true RUL, the error by true RUL, the reliability of the quantiles, and example lives."""
    whole, predictions = calibrated(parts, SHIPPED)
    _predicted(whole, predictions, folder / "predicted.png")
    _error(whole, predictions, folder / "error.png")
    _reliability(whole, predictions, folder / "reliability.png")
    _lives(whole, predictions, folder / "lives.png")


def _predicted(whole: HeldOut, predictions: Sequence[RulCycles], path: Path) -> None:
    figure, axes = plt.subplots(1, len(SUBSETS), figsize=(12, 3.4), sharex=True, sharey=True)
    mean, label = _head(predictions, "mean").clip(0, recipe.CAP_CYCLES), _label(whole)
    for axis, subset in zip(axes, SUBSETS, strict=True):
        chosen = whole.subset == subset
        axis.plot([0, recipe.CAP_CYCLES], [0, recipe.CAP_CYCLES], color="black", linewidth=0.8)
        axis.scatter(label[chosen], mean[chosen], s=2, alpha=0.25, color=INK, linewidths=0)
        axis.set(title=subset, xlabel="true RUL, capped (cycles)")
    axes[0].set_ylabel("predicted mean RUL (cycles)")
    _save(figure, path)


def _error(whole: HeldOut, predictions: Sequence[RulCycles], path: Path) -> None:
    figure, axes = plt.subplots(1, len(SUBSETS), figsize=(12, 3.4), sharey=True)
    label = _label(whole)
    error = _head(predictions, "mean").clip(0, recipe.CAP_CYCLES) - label
    edges = np.arange(0, recipe.CAP_CYCLES + BAND_CYCLES, BAND_CYCLES)
    for axis, subset in zip(axes, SUBSETS, strict=True):
        bands = [
            error[(whole.subset == subset) & (label >= low) & (label < low + BAND_CYCLES)] for low in edges.tolist()
        ]
        axis.boxplot(bands, whis=(5, 95), showfliers=False, medianprops={"color": INK})
        axis.axhline(0, color="black", linewidth=0.8)
        axis.set_xticks(range(1, len(edges) + 1), [f"{low:.0f}" for low in edges])
        axis.set(title=subset, xlabel="true RUL, from (cycles)")
    axes[0].set_ylabel("predicted − true (cycles), 5 to 95 %")
    _save(figure, path)


def _reliability(whole: HeldOut, predictions: Sequence[RulCycles], path: Path) -> None:
    figure, axis = plt.subplots(figsize=(4.6, 4.2))
    label = _label(whole)
    levels = {"q05": 0.05, "q50": 0.5, "q95": 0.95}
    axis.plot([0, 1], [0, 1], color="black", linewidth=0.8)
    for subset, marker in zip(SUBSETS, "osD^", strict=True):
        chosen = whole.subset == subset
        shares = [float(np.mean((label <= _head(predictions, head))[chosen])) for head in levels]
        axis.plot(list(levels.values()), shares, marker, linestyle="", alpha=0.8, label=subset)
    axis.set(xlabel="quantile", ylabel="share of labels at or below it")
    axis.legend()
    _save(figure, path)


def _lives(whole: HeldOut, predictions: Sequence[RulCycles], path: Path) -> None:
    """Of each subset the first engine, at its cuts."""
    figure, axes = plt.subplots(1, len(SUBSETS), figsize=(12, 3.4), sharey=True)
    for axis, subset in zip(axes, SUBSETS, strict=True):
        cuts = np.flatnonzero(whole.subset == subset)[:CUTS_PER_ENGINE]
        cuts = cuts[np.argsort(whole.truth[cuts])]
        heads = {head: _head(predictions, head)[cuts] for head in ("q05", "q50", "q95")}
        axis.fill_between(whole.truth[cuts], heads["q05"], heads["q95"], color=FILL, label="q05…q95")
        axis.plot(whole.truth[cuts], heads["q50"], color=INK, marker=".", label="median")
        axis.plot(whole.truth[cuts], _label(whole)[cuts], color="black", linewidth=0.8, label="true, capped")
        axis.set(title=f"{subset}, one engine", xlabel="true RUL (cycles)")
        axis.invert_xaxis()
    axes[0].set_ylabel("RUL (cycles)")
    axes[0].legend()
    _save(figure, path)


def _save(figure: plt.Figure, path: Path) -> None:
    figure.tight_layout()
    # Without the version of matplotlib and the time, the same figures give the same file.
    figure.savefig(path, dpi=90, metadata={"Software": None})
    plt.close(figure)


def _label(whole: HeldOut) -> NDArray[np.float64]:
    return np.minimum(whole.truth, recipe.CAP_CYCLES)


def _head(predictions: Sequence[RulCycles], head: str) -> NDArray[np.float64]:
    return np.array([getattr(one, head) for one in predictions])
