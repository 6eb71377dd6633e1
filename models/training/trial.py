"""Fifth step: out-of-fold predictions of the very recipe that is released."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.reading import Life
from models.stepping import SteppedLife
from models.training import recipe
from models.training.bundles import make_bundle
from models.training.drift import fit_drift
from models.training.faults import FAULTS, SHORT
from models.training.folds import cut_rows, folds
from models.training.held_out import AGE_UNKNOWN, FLOAT, SHIPPED, FaultHeads, HeldOut
from models.training.simulated import beside
from models.training.specification import Subsets, channel_ranges, fit_specification, life_features
from shared.bundle import Bundle
from shared.features import Features
from shared.predictor import Predictor, Step
from shared.runtimes import MODULES

# The faults are tried at every so many of an engine's cuts.
FAULT_EVERY = 10

Floats = NDArray[np.float64]
# Features, shape (rows, features) → heads of the float model in units of the head scale, shape (rows, heads).
FloatHeads = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class _Tried(NamedTuple):
    """One history with a fault: its true RUL, and the agent's last step with it and without."""

    rul_cycles: int
    with_fault: Step
    without_fault: Step


def train_student(
    subsets: Subsets,
    simulated: Subsets,
    seed: int,
    training_files: dict[str, str],
    after_epoch: Callable[[], None],
) -> tuple[FloatHeads, Bundle]:
    """Train on some engines and simulated ones; returns what the float model says and its int8 bundle.

    Features, ranges, drift and quantisation are fitted to ``subsets`` alone. Needs TensorFlow.
    """
    from models.training import student

    spec = fit_specification(subsets, recipe.CAP_CYCLES)
    features = Features(spec)
    real, made = ([life for part in each.values() for life in part] for each in (subsets, simulated))
    lives = [*real, *made]
    rows = np.concatenate([life_features(features, life.cycles, life.values) for life in lives])
    label = np.concatenate([np.minimum(life.rul_cycles, recipe.CAP_CYCLES) for life in lives]) / recipe.CAP_CYCLES
    weight = _row_weights([len(life.values) for life in lives], len(real))
    model = student.train(features, rows, label.astype(np.float32), weight, seed, after_epoch)
    content = student.to_int8(model, features, rows[: sum(len(life.values) for life in real)], seed)
    quantisation = student.quantisation(content)
    ranges, drift = channel_ranges(subsets), fit_drift(subsets, spec)
    bundle = make_bundle(content, quantisation, seed, spec, ranges, drift, training_files)
    return lambda some: model(some).numpy(), bundle


def held_out(subsets: Subsets, fold: int, seed: int, constants: Path, after_epoch: Callable[[], None]) -> HeldOut:
    """Train without one fold and predict its engines at their cuts; the simulator's constants are kept in a file."""
    chosen = {name: folds(len(part), recipe.FOLDS, recipe.FOLD_SEED)[fold] for name, part in subsets.items()}
    rest = {name: [one for k, one in enumerate(part) if k not in chosen[name]] for name, part in subsets.items()}
    float_heads, bundle = train_student(rest, beside(rest, seed, constants), seed, {}, after_epoch)
    engines = [(name, part[position]) for name, part in subsets.items() for position in chosen[name]]
    return predict(engines, float_heads, bundle)


def predict(engines: list[tuple[str, Life]], float_heads: FloatHeads, bundle: Bundle) -> HeldOut:
    """Predict engines, each with the name of its subset, at their cuts; in every way that the card tells of."""
    features = Features(bundle.manifest.features)
    predictors = {f"int8, {runtime}": Predictor(bundle, runtime) for runtime in MODULES}
    cuts = [cut_rows(life, name, recipe.FOLD_SEED) for name, life in engines]
    rows = np.concatenate(
        [life_features(features, one.cycles, one.values)[cut] for (_, one), cut in zip(engines, cuts, strict=True)]
    )
    variants = {}
    for suffix, known in (("", features.with_age(rows)), (AGE_UNKNOWN, features.without_age(rows))):
        for name, predictor in predictors.items():
            variants[name + suffix] = _heads(predictor, [predictor.network.quantise(row).tobytes() for row in known])
        variants[FLOAT + suffix] = float_heads(known).astype(np.float64) * recipe.CAP_CYCLES
    shipped = predictors[SHIPPED]
    return HeldOut(
        np.repeat([name for name, _ in engines], [len(cut) for cut in cuts]),
        np.concatenate([life.rul_cycles[cut] for (_, life), cut in zip(engines, cuts, strict=True)]).astype(np.float64),
        variants,
        _faults([(life, own[::FAULT_EVERY]) for (_, life), own in zip(engines, cuts, strict=True)], shipped),
    )


def _row_weights(lengths: list[int], real: int) -> NDArray[np.float32]:
    """How much each row counts, 1 on average: real engines, which come first, all the same, however long they lived.

    So does the protocol weigh them. Simulated engines, which follow, count ``recipe.SIMULATED_WEIGHT`` of a real one.
    """
    share = np.where(np.arange(len(lengths)) < real, 1.0, recipe.SIMULATED_WEIGHT) / lengths
    weight = np.repeat(share, lengths)
    normed: NDArray[np.float32] = (weight / weight.mean()).astype(np.float32)
    return normed


def _faults(engines: list[tuple[Life, NDArray[np.int64]]], predictor: Predictor) -> dict[str, FaultHeads]:
    """Do every fault to the history before every cut of engines, and take their first rows as short histories."""
    generators = {name: np.random.default_rng([recipe.FOLD_SEED, number]) for number, name in enumerate(FAULTS)}
    found: dict[str, list[_Tried]] = {name: [] for name in (*FAULTS, SHORT)}
    for life, cuts in engines:
        stepped, rul = SteppedLife(predictor, life), life.rul_cycles.tolist()
        for cut in cuts.tolist():
            for name, fault in FAULTS.items():
                history = fault((life.cycles[: cut + 1], life.values[: cut + 1]), generators[name])
                if history is not None:
                    found[name].append(_Tried(rul[cut], stepped.last_step(*history), stepped.steps[cut]))
        young = stepped.steps[: recipe.SHORT_HISTORY_ROWS - 1]
        found[SHORT] += [_Tried(rul[row], step, step) for row, step in enumerate(young)]
    return {name: _fault_heads(predictor, tried) for name, tried in found.items()}


def _fault_heads(predictor: Predictor, tried: list[_Tried]) -> FaultHeads:
    """Of those histories that are not refused."""
    predicted = [one for one in tried if one.with_fault.outcome and one.without_fault.outcome]
    return FaultHeads(
        np.array([one.rul_cycles for one in predicted], np.float64),
        _heads(predictor, [one.with_fault.outcome.input for one in predicted]),
        _heads(predictor, [one.without_fault.outcome.input for one in predicted]),
        np.array([msgspec.json.encode(one.with_fault.flags).decode() for one in predicted]),
    )


def _heads(predictor: Predictor, tensors: list[bytes]) -> Floats:
    """What the int8 file says of input tensors, in cycles, shape (tensors, heads)."""
    stored = np.array([predictor.network.run(np.frombuffer(tensor, np.int8)) for tensor in tensors], np.float64)
    quantisation = predictor.manifest.output
    return (stored - quantisation.zero_point) * quantisation.scale * predictor.manifest.head_scale_cycles
