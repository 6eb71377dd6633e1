"""Fifth step: out-of-fold predictions of the very recipe that is released."""

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.reading import Life
from models.training import recipe, student
from models.training.bundles import make_bundle
from models.training.faults import FAULTS, History
from models.training.folds import cut_rows, folds
from models.training.held_out import AGE_UNKNOWN, FLOAT, SHIPPED, SHORT, FaultHeads, HeldOut
from models.training.specification import Subsets, channel_ranges, fit_specification, life_features
from shared.bundle import Bundle
from shared.features import Features
from shared.predictor import Network
from shared.runtimes import MODULES

# The faults are tried at every so many of an engine's cuts.
FAULT_EVERY = 5

Floats = NDArray[np.float64]


def train_student(
    subsets: Subsets, seed: int, training_files: dict[str, str], after_epoch: Callable[[], None]
) -> tuple[tf.keras.Model, Bundle]:
    """Train on some engines; returns the float model and its int8 bundle."""
    lives = [life for part in subsets.values() for life in part]
    spec = fit_specification(subsets, recipe.CAP_CYCLES)
    features = Features(spec)
    rows = np.concatenate([life_features(features, life.cycles, life.values) for life in lives])
    label = np.concatenate([np.minimum(life.rul_cycles, recipe.CAP_CYCLES) for life in lives]) / recipe.CAP_CYCLES
    model = student.train(features, rows, label.astype(np.float32), seed, after_epoch)
    content = student.to_int8(model, features, rows, seed)
    quantisation = student.quantisation(content)
    return model, make_bundle(content, quantisation, seed, spec, channel_ranges(subsets), training_files)


def held_out(subsets: Subsets, fold: int, seed: int, after_epoch: Callable[[], None]) -> HeldOut:
    """Train without one fold and predict its engines at their cuts."""
    chosen = {name: folds(len(part), recipe.FOLDS, recipe.FOLD_SEED)[fold] for name, part in subsets.items()}
    rest = {name: [one for k, one in enumerate(part) if k not in chosen[name]] for name, part in subsets.items()}
    model, bundle = train_student(rest, seed, {}, after_epoch)
    engines = [(name, part[position]) for name, part in subsets.items() for position in chosen[name]]
    return predict(engines, model, bundle)


def predict(engines: list[tuple[str, Life]], model: tf.keras.Model, bundle: Bundle) -> HeldOut:
    """Predict engines, each with the name of its subset, at their cuts; in every way that the card tells of."""
    features = Features(bundle.manifest.features)
    networks = {f"int8, {runtime}": Network(bundle, runtime) for runtime in MODULES}
    cuts = [cut_rows(life, name, recipe.FOLD_SEED) for name, life in engines]
    rows = np.concatenate(
        [life_features(features, one.cycles, one.values)[cut] for (_, one), cut in zip(engines, cuts, strict=True)]
    )
    variants = {}
    for suffix, known in (("", rows), (AGE_UNKNOWN, features.forget_age(rows))):
        variants |= {name + suffix: _heads(network, bundle, known) for name, network in networks.items()}
        variants[FLOAT + suffix] = model(known).numpy().astype(np.float64) * recipe.CAP_CYCLES
    return HeldOut(
        np.repeat([name for name, _ in engines], [len(cut) for cut in cuts]),
        np.concatenate([life.rul_cycles[cut] for (_, life), cut in zip(engines, cuts, strict=True)]).astype(np.float64),
        variants,
        _faults(engines, cuts, bundle, networks[SHIPPED]),
    )


def _faults(
    engines: list[tuple[str, Life]], cuts: list[NDArray[np.int64]], bundle: Bundle, network: Network
) -> dict[str, FaultHeads]:
    features, found = Features(bundle.manifest.features), {}
    stuck_rows = np.array([channel.stuck_rows for channel in bundle.manifest.channels])

    def last(history: History) -> NDArray[np.float32]:
        row: NDArray[np.float32] = life_features(features, *history)[-1]
        return row

    histories = [(life, cut) for (_, life), cut in zip(engines, cuts, strict=True)]
    whole = list(_histories(histories))
    truth = np.array([life.rul_cycles[cut] for life, own in histories for cut in own[::FAULT_EVERY]], np.float64)
    without = _heads(network, bundle, np.array([last(history) for history in whole]))
    for number, (name, fault) in enumerate(FAULTS.items()):
        generator = np.random.default_rng([recipe.FOLD_SEED, number])
        rows = np.array([last(fault(history, generator, stuck_rows)) for history in whole])
        found[name] = FaultHeads(truth, _heads(network, bundle, rows), without)
    young = [
        (life, life_features(features, life.cycles, life.values)[: recipe.SHORT_HISTORY_ROWS - 1])
        for _, life in engines
    ]
    heads = _heads(network, bundle, np.concatenate([rows for _, rows in young]))
    youth = np.concatenate([life.rul_cycles[: len(rows)] for life, rows in young]).astype(np.float64)
    return found | {SHORT: FaultHeads(youth, heads, heads)}


def _histories(engines: list[tuple[Life, NDArray[np.int64]]]) -> Iterator[History]:
    for life, cuts in engines:
        for cut in cuts[::FAULT_EVERY]:
            yield life.cycles[: cut + 1], life.values[: cut + 1]


def _heads(network: Network, bundle: Bundle, rows: NDArray[np.float32]) -> Floats:
    """What the int8 file says, in cycles, shape (rows, heads)."""
    stored = np.array([network.run(network.quantise(row)) for row in rows], np.float64)
    quantisation = bundle.manifest.output
    return (stored - quantisation.zero_point) * quantisation.scale * bundle.manifest.head_scale_cycles
