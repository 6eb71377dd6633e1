"""Writes the card of a bundle: what the model is for, how good it is and how that was measured."""

from importlib.metadata import version

from models.figures import Table
from models.training import student, trial
from models.training.folds import CUTS_PER_ENGINE, EARLIEST_CUT_CYCLE
from shared.manifest import Manifest

ERRORS = {
    "rmse": "RMSE",
    "rmse_low": "from",
    "rmse_high": "to",
    "score_sum": "PHM08 score, sum",
    "score_mean": "score per cut",
    "mae": "MAE",
    "bias": "bias",
    "rmse_near_failure": "RMSE, RUL ≤ 50",
}
INTERVAL = {
    "coverage": "coverage",
    "coverage_rul_0_50": "RUL 0–50",
    "coverage_rul_51_110": "RUL 51–110",
    "coverage_rul_above_110": "RUL > 110",
    "width_cycles": "mean width, cycles",
}
BY_MEDIAN = {
    "share": "share of cuts",
    "to_q05": "P(y ≤ q05)",
    "to_q50": "P(y ≤ q50)",
    "to_q95": "P(y ≤ q95)",
    "width_cycles": "mean width, cycles",
}
BY_TRUTH = {"bias_mean": "bias of the mean", "bias_q50": "bias of the median"}
PACKAGES = ("tensorflow-cpu", "numpy", "tflite-runtime", "ai-edge-litert")

TEXT = """\
# {name} {version}

Remaining useful life (RUL) of a turbofan engine in cycles: mean and 5, 50, 95 % quantiles, from the rows of the
24 C-MAPSS channels at one operating condition (sea level) and one fault mode (high-pressure compressor).

Released {created}. `model.tflite`: {size_bytes} bytes, full int8, sha256
`{sha256}`. Seed {seed}, chosen by rule before any result.

## Intended use and limits
- For engines that fly, fail and are measured as those of C-MAPSS FD001 do: simulated data. It has seen no real
  engine; treat it as a demonstration of the method, never as the sole ground for a maintenance decision.
- Another operating condition (altitude, Mach) is out of range: its channels are flagged and the prediction is
  refused when more than {max_missing} of the {channels} feature channels are missing or out of range.
- Labels are capped at {cap:.0f} cycles: a prediction there means "{cap:.0f} or more". Far from failure the RAW
  figures show that it says nothing beyond.
- Failures that begin otherwise (fan, several faults) were not in the training rows.
- The age of the engine (cycles since installation) is one of its inputs; see below what it is worth.

## How it was measured
No test engine was used, and the true RUL of the test engines is unknown to the makers of this model. All figures
are from **pseudo-test folds**: the {engines} training engines are dealt into {folds} folds; each fold is predicted
by a model of the same recipe (features, direction of wear, standardisation and network) that never saw its engines.
Each held-out engine is cut at {cuts} random cycles from {earliest} on, since test engines are cut too, and predicted
from its rows up to the cut; a history shorter than the window counts its first row repeatedly, none is dropped.
The offsets of each row come for each fold from the other folds. Epochs are fixed; nothing stops early.
Mean ± standard deviation over {seeds} seeds of the network ({total} predictions each); engines, folds and cuts are
the same. `C{cap:.0f}`: labels min(RUL, {cap:.0f}), predictions clipped to 0…{cap:.0f}. `RAW`: both as they are.
"from … to": 95 % bootstrap interval of the RMSE over engines.
PHM08 score: d = predicted − true; exp(−d/13) − 1 below 0, exp(d/10) − 1 above.

### Errors, C{cap:.0f}
{capped}

### Errors, RAW
{raw}

### The 90 % interval q05…q95, unclipped, against labels y = min(RUL, {cap:.0f})
{interval}

### Each quantile for itself, by predicted median, unclipped (first row's recipe)
{by_median}

The shares should be 0.05, 0.50 and 0.95. No label is above {cap:.0f}: where the upper bound reads {cap:.0f} or more it
cannot be passed, so that in the last rows the upper side holds by construction and says nothing.

### Bias by true RUL, unclipped (first row's recipe)
{by_truth}

Where engines with more and with less life left look alike, a prediction lies between them: too high for the ones, too
low for the others. Given the prediction, which is all that a reader has, the table by predicted median counts.

One model for one subset (FD001). The shipped file is the first row's recipe trained on all {engines} engines. Its
offsets come from the held-out int8 predictions of seed {seed}, at the predicted medians {nodes}, linear
between: q05 and q95 conformalised (CQR), median and mean moved by their median and mean error there.

## How it was chosen
About 25 variants (slopes, width, epochs, dropout, noise, batch, members) were compared by C{cap:.0f} RMSE on these
same folds, one or two seeds each, so the figures above are slightly optimistic; the official test set will tell.
Likewise when dropout ends (never, for the last 5, 10, 20 or 30 epochs, from the start) and eight sets of nodes.
The features and the network follow an earlier sketch that read what each technique is worth off (part of) the public
test sets: about ten variants, none selected there; out-of-fold figures ranked them alike. Much of the lead over
published results is the age as an input: compare the rows "age unknown".

## Recipe
{inputs} causal features of {channels} channels: z-score, exponential mean (0.1), its distance from the mean of the
engine's own first 20 rows, means over 10, 30 and 50 rows, difference of 10-row means, 20-row slope, each also
projected on a direction of wear (ridge regression); age and whether it is known. {members} multilayer perceptrons
{hidden} in one graph, averaged; ReLU, dropout {dropout}, AdamW {rate} with cosine decay, weight decay {decay}, batch
{batch}, {epochs} epochs, the last {without} without dropout; squared error for the mean, pinball loss for the
quantiles; the age hidden from {hide:.0%} of the rows. Full int8 post-training quantisation on {calibration}
training rows.

## Made from
{files}

`make train DATA=FOLDER`, with {packages};
on the same kind of machine it gives the same file again.
"""


def write_card(
    manifest: Manifest, figures: dict[str, Table], levels: tuple[Table, Table], size_bytes: int, engines: int
) -> str:
    """The card in Markdown; ``levels`` are the tables by predicted median and by true RUL."""
    capped = f"C{manifest.cap_cycles:.0f}"
    shape = " → ".join(str(units) for units in (len(manifest.features.center), *student.HIDDEN, 4))
    return TEXT.format(
        name=manifest.name,
        version=manifest.version,
        created=manifest.created,
        size_bytes=size_bytes,
        sha256=manifest.sha256,
        seed=manifest.seed,
        max_missing=manifest.max_missing_channels,
        channels=len(manifest.features.channels),
        cap=manifest.cap_cycles,
        engines=engines,
        folds=trial.FOLDS,
        cuts=CUTS_PER_ENGINE,
        earliest=EARLIEST_CUT_CYCLE,
        seeds=len(trial.SEEDS),
        total=engines * CUTS_PER_ENGINE,
        capped=_table({variant: columns[capped] for variant, columns in figures.items()}, ERRORS),
        raw=_table({variant: columns["RAW"] for variant, columns in figures.items()}, ERRORS),
        interval=_table({variant: columns[capped] for variant, columns in figures.items()}, INTERVAL),
        by_median=_table(levels[0], BY_MEDIAN),
        by_truth=_table(levels[1], BY_TRUTH),
        nodes=", ".join(f"{node:.0f}" for node in manifest.calibration.nodes),
        inputs=len(manifest.features.center),
        members=student.MEMBERS,
        hidden=shape,
        dropout=student.DROPOUT,
        rate=student.LEARNING_RATE,
        decay=student.WEIGHT_DECAY,
        batch=student.BATCH,
        epochs=student.EPOCHS,
        without=student.EPOCHS - student.DROPOUT_EPOCHS,
        hide=student.AGE_DROPOUT,
        calibration=student.CALIBRATION_ROWS,
        files="\n".join(
            f"- `{name}`, sha256 of the text `{digest}`" for name, digest in manifest.training_files.items()
        ),
        packages=", ".join(f"{name} {version(name)}" for name in PACKAGES),
    )


def _table(table: Table, heads: dict[str, str]) -> str:
    lines = ["| | " + " | ".join(heads.values()) + " |", "|---" * (len(heads) + 1) + "|"]
    for name, figures in table.items():
        cells = [f"{_number(figures[key])} ± {_number(figures[key + '_sd'])}" for key in heads]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) >= 1e5 else f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3f}"
