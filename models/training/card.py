"""Writes the card of a bundle: what the model is for, how good it is and how that was measured."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from models.figures import Table, mean_and_sd
from models.training import judgement, recipe
from models.training.faults import (
    FASTEST_DRIFT,
    GAP_BEFORE_ROWS,
    LONGEST_BACK_ROWS,
    LONGEST_GAP_CYCLES,
    SLOWEST_DRIFT,
)
from models.training.folds import CUTS_PER_ENGINE, EARLIEST_CUT_CYCLE
from models.training.held_out import AGE_UNKNOWN, FLOAT, SHIPPED, HeldOut
from shared.manifest import Manifest

ERRORS = {
    "rmse": "RMSE",
    "rmse_low": "from",
    "rmse_high": "to",
    "score_mean": "PHM08 score per cut",
    "score_sum": "sum",
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
FAULTS = {
    "histories": "histories",
    "rmse_without": "RMSE without it",
    "rmse_with": "RMSE with it",
    "coverage_as_is": "coverage, not widened",
    "coverage_widened": "coverage, widened",
    "width_cycles_as_is": "width, not widened",
    "width_cycles_widened": "width, widened",
}
PACKAGES = ("tensorflow-cpu", "numpy", "tflite-runtime", "ai-edge-litert")

TEXT = """\
# {name} {version}

Remaining useful life (RUL) of a turbofan engine in cycles: mean and 5, 50, 95 % quantiles, from the rows of the
24 C-MAPSS channels. **One joint model** for all four subsets: one or six operating conditions, one or two fault
modes.

Released {created}. `model.tflite`: {size_bytes} bytes, full int8, sha256
`{sha256}`. Seed {seed}, chosen by rule before any result.

## Intended use and limits
- For engines that fly, fail and are measured as those of C-MAPSS do: simulated data. It has seen no real engine;
  treat it as a demonstration of the method, never as the sole ground for a maintenance decision.
- Labels are capped at {cap:.0f} cycles: a prediction there means "{cap:.0f} or more". The RAW figures show that it
  says nothing beyond.
- An operating condition other than {regimes} kft (± {tolerance:g}) is unknown to it, and it refuses to predict there.
- It refuses when more than {allowed} of its {channels} feature channels are missing, out of range, stuck or drifting.
  Below, what each fault costs and how far it widens the interval.
- The age of the engine (cycles since installation) is one of its inputs; the rows "age unknown" show what it is
  worth.
- It has learned from simulated engines too: how well it predicts others of the same simulator says little of engines
  that neither C-MAPSS nor the simulator knows.
- A history that begins later than at cycle {latest} has no healthy first rows to compare with; the model was trained
  to do without them, but is then much less sure.

## How it was measured
No test engine was used, and the true RUL of the test engines is unknown to the makers of this model. All figures
are from **pseudo-test folds**: the {engines} training engines are dealt into {folds} folds; each fold is predicted
by a model of the same recipe (features, directions of wear, standardisation, simulated engines and network) that never
saw its engines, nor a simulated engine whose constants were fitted to them.
Each held-out engine is cut at {cuts} random cycles from {earliest} on, since test engines are cut too, and predicted
from its rows up to the cut; a history shorter than the window counts its first row repeatedly, none is dropped.
The calibration of each fold comes from the other folds. Epochs are fixed; nothing stops early.
Mean ± standard deviation over the network's seeds, {seeds} here ({total} predictions each); engines, folds and cuts are
the same. `C{cap:.0f}`: labels min(RUL, {cap:.0f}), predictions clipped to 0…{cap:.0f}. `RAW`: both as they are.
"from … to": 95 % bootstrap interval of the RMSE over engines.
PHM08 score: d = predicted − true; exp(−d/13) − 1 below 0, exp(d/10) − 1 above.

### Errors, C{cap:.0f}
{capped}

![Predicted against true RUL](predicted.png)
![Error by true RUL](error.png)

### Errors, RAW
{raw}

### The 90 % interval q05…q95, unclipped, against labels y = min(RUL, {cap:.0f})
{interval}

![Reliability](reliability.png)
![Lives of four engines](lives.png)

### Each quantile for itself, by predicted median, unclipped (as shipped)
{by_median}

The shares should be 0.05, 0.50 and 0.95. No label is above {cap:.0f}: where the upper bound reads {cap:.0f} or more
it cannot be passed, so that in the last rows the upper side holds by construction and says nothing.

### Bias by true RUL, unclipped (as shipped)
{by_truth}

Where engines with more and with less life left look alike, a prediction lies between them: too high for the ones, too
low for the others. Given the prediction, which is all that a reader has, the table by predicted median counts.

### Faults at the gateway
C{cap:.0f}, all subsets; each fault done to the histories before their cut, its beginning at random, and run through
the agent's code. The interval is widened where that flags the fault; "not flagged" are those histories of a fault in
which it does not, because it has not found it yet, cannot find it, or takes it for over.
{faults}

"channels out": so many feature channels give nothing from a random row on. "a channel back": one that gave nothing for
a while gives values again in the last 1 to {back} rows. "a channel stuck": from a random row on it shows the same
value. "a channel drifts": from a random row on it wanders off by {slowest:g} to {fastest:g} sd of its noise a cycle.
"cycles skipped": up to {gap} of the last {far} cycles never came. "starts late": the gateway knows nothing of
the engine's youth and has {enough} rows or more; "short": fewer. "short history": the first {short} rows of every
engine.
Widths differ from those above also because the faults are tried at other cuts.

The shipped file was trained on all {engines} engines. Its calibrations, one where the age is known and one where it is
not, come from the held-out int8 predictions of seed {seed} with the age and without it, at the predicted medians
{nodes}, linear between: median and mean are moved by their median and mean error there (the mean
by that with the age in both), and the distances from the median to q05 and q95 stretched by what conformal quantiles
ask (CQR).
Cuts of one engine are alike, so that the guarantee of conformal prediction, which is for independent examples, does
not hold to the letter; what coverage comes of it on engines of other folds stands above.

## How it was chosen
`models/training/NOTES.md` tells what was tried on these same folds, one or two seeds each, so that the figures above
are slightly optimistic; the official test sets will tell. The features and the network follow an earlier sketch that
read what each technique is worth off (part of) the public test sets: about ten variants, none selected there;
out-of-fold figures ranked them alike. Much of the lead over published results is the age as an input: compare the
rows "age unknown".

## Recipe
{inputs} causal features of {channels} channels: z-score in the operating condition, exponential mean (0.1), its
distance from the mean of the engine's own first 20 rows, means over 10, 30 and 50 rows, difference of 10-row means,
20-row slope, each also projected on a direction of wear per subset (ridge regression); age, whether it is known, and
whether the first rows are. Slopes over 50 and 100 rows are shown only where the age is unknown.
{members} multilayer perceptrons {hidden} in one graph, averaged; ReLU, dropout {dropout}, AdamW {rate} with cosine
decay, weight decay {decay}, batch {batch}, {epochs} epochs, every engine with the same weight however long it lived;
squared error for the mean, pinball loss for the quantiles; noise of {noise:g} standard deviations on the inputs; the
age hidden from {hide:.0%} of the rows, the first rows from {forget:.0%}. The last {without} epochs are without dropout
and noise. Full int8 post-training quantisation on {calibration} training rows.
Beside each training engine {simulated} simulated ones of its type are trained on, each of which weighs {worth:.2f} of a
real one (`simulators/engine_model.py`, with constants fitted to the training engines and engines of its own for each
seed). Features, standardisation, ranges, drift and quantisation are fitted to C-MAPSS engines alone.

## Made from
{files}

`make train DATA=FOLDER`, with {packages}. `models/training/NOTES.md` tells how exactly that
gives the same file again.
"""


def tables_of_seeds(seeds: Sequence[list[HeldOut]]) -> dict[str, dict[str, Table]]:
    """Variant → subset → columns ``C125`` and ``RAW``, mean and sd over seeds."""
    tables = {}
    for variant in seeds[0][0].variants:
        by_seed = [judgement.subset_tables(parts, variant) for parts in seeds]
        tables[variant] = {name: mean_and_sd([one[name] for one in by_seed]) for name in by_seed[0]}
    return tables


def write_card(
    manifest: Manifest, seeds: Sequence[list[HeldOut]], tables: dict[str, dict[str, Table]], size_bytes: int
) -> str:
    """The card in Markdown."""
    capped = f"C{manifest.cap_cycles:.0f}"
    by_median, by_truth = (
        mean_and_sd(part) for part in zip(*(judgement.levels(parts, SHIPPED) for parts in seeds), strict=True)
    )
    spec = manifest.features
    cuts = sum(len(part.truth) for part in seeds[0])
    return TEXT.format(
        name=manifest.name,
        version=manifest.version,
        created=manifest.created,
        size_bytes=size_bytes,
        sha256=manifest.sha256,
        seed=manifest.seed,
        regimes=", ".join(f"{regime.nominal:g}" for regime in spec.regimes),
        tolerance=spec.regime_tolerance,
        allowed=len(manifest.widening.unusable_channels),
        channels=len(spec.channels),
        latest=spec.latest_baseline_start,
        cap=manifest.cap_cycles,
        engines=cuts // CUTS_PER_ENGINE,
        folds=recipe.FOLDS,
        cuts=CUTS_PER_ENGINE,
        earliest=EARLIEST_CUT_CYCLE,
        seeds=len(seeds),
        total=cuts,
        capped=_table(_rows(tables, capped), ERRORS),
        raw=_table(_rows(tables, "RAW"), ERRORS),
        interval=_table(_rows(tables, capped), INTERVAL),
        by_median=_table(by_median, BY_MEDIAN),
        by_truth=_table(by_truth, BY_TRUTH),
        faults=_table(mean_and_sd([judgement.fault_table(parts) for parts in seeds]), FAULTS),
        back=LONGEST_BACK_ROWS,
        gap=LONGEST_GAP_CYCLES,
        slowest=SLOWEST_DRIFT,
        fastest=FASTEST_DRIFT,
        far=LONGEST_GAP_CYCLES + GAP_BEFORE_ROWS,
        enough=recipe.SHORT_HISTORY_ROWS,
        short=recipe.SHORT_HISTORY_ROWS - 1,
        nodes=", ".join(f"{node:.0f}" for node in manifest.calibration.nodes),
        inputs=len(spec.center),
        members=recipe.MEMBERS,
        hidden=" → ".join(str(units) for units in (len(spec.center), *recipe.HIDDEN, 4)),
        dropout=recipe.DROPOUT,
        rate=recipe.LEARNING_RATE,
        decay=recipe.WEIGHT_DECAY,
        batch=recipe.BATCH,
        epochs=recipe.EPOCHS,
        without=recipe.EPOCHS - recipe.DROPOUT_EPOCHS,
        hide=recipe.AGE_DROPOUT,
        forget=recipe.BASELINE_DROPOUT,
        noise=recipe.INPUT_NOISE,
        calibration=recipe.CALIBRATION_ROWS,
        simulated=recipe.SIMULATED_PER_REAL,
        worth=recipe.SIMULATED_WEIGHT,
        files="\n".join(
            f"- `{name}`, sha256 of the text `{digest}`" for name, digest in manifest.training_files.items()
        ),
        packages=", ".join(_versions()),
    )


def _rows(tables: dict[str, dict[str, Table]], column: str) -> Table:
    """Subset by subset the variants; those of the float model and of the other runtime for comparison."""
    variants = sorted(tables, key=lambda name: (AGE_UNKNOWN in name, FLOAT in name, name != SHIPPED))
    subsets = next(iter(tables.values()))
    return {f"{subset}: {variant}": tables[variant][subset][column] for subset in subsets for variant in variants}


def _versions() -> list[str]:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return found


def _table(table: Table, heads: dict[str, str]) -> str:
    lines = ["| | " + " | ".join(heads.values()) + " |", "|---" * (len(heads) + 1) + "|"]
    for name, figures in table.items():
        lines.append(f"| {name} | " + " | ".join(_cell(figures, key) for key in heads) + " |")
    return "\n".join(lines)


def _cell(figures: dict[str, float], key: str) -> str:
    if key == "histories":
        return f"{figures[key]:.0f}"
    sd = figures[f"{key}_sd"]
    return f"{_number(figures[key])} ± {_number(sd)}" if sd else _number(figures[key])


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) >= 1e5 else f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3f}"
