"""Fifth step: out-of-fold predictions of the very recipe that is released, one student per fold and seed."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.figures import Table, both_columns, by_median, by_truth, mean_and_sd
from models.reading import Life
from models.training import student
from models.training.bundles import CAP_CYCLES, Origin, make_bundle
from models.training.calibration import fit_offsets
from models.training.folds import CUTS_PER_ENGINE, cut_rows, folds
from models.training.specification import channel_ranges, fit_specification, life_features
from shared.bundle import Bundle
from shared.features import Features, forget_age
from shared.messages import RulCycles
from shared.predictor import Predictor, calibrate
from shared.runtimes import installed

FOLDS = 5
FOLD_SEED = 0
SEEDS = (0, 1, 2, 3, 4)


@dataclass(slots=True)
class HeldOut:
    """Predictions for all pseudo-test cuts of one fold under one seed; ``variants`` names how each was made."""

    truth: NDArray[np.float64]
    variants: dict[str, list[RulCycles]] = field(default_factory=dict)


def train_student(
    lives: list[Life], seed: int, training_files: dict[str, str], after_epoch: Callable[[], None]
) -> tuple[tf.keras.Model, Bundle, NDArray[np.float32]]:
    """Train on some engines; returns the float model, its int8 bundle and the training rows' features."""
    spec = fit_specification(lives, CAP_CYCLES)
    features = np.concatenate([life_features(Features(spec), life) for life in lives])
    label = np.concatenate([np.minimum(life.rul_cycles, CAP_CYCLES) for life in lives]) / CAP_CYCLES
    model = student.train(features, label.astype(np.float32), seed, after_epoch)
    origin = Origin(seed, spec, channel_ranges(lives), training_files)
    return model, make_bundle(student.to_int8(model, features, seed), origin), features


def held_out_predictions(lives: list[Life], seed: int, after_epoch: Callable[[], None]) -> list[HeldOut]:
    """Train without each fold in turn and predict its engines at their cuts."""
    parts = []
    for fold in folds(len(lives), FOLDS, FOLD_SEED):
        rest = [life for position, life in enumerate(lives) if position not in fold]
        model, bundle, _ = train_student(rest, seed, {}, after_epoch)
        parts.append(_predict([lives[position] for position in fold], model, bundle))
    return parts


def table(runs: list[list[HeldOut]]) -> dict[str, Table]:
    """Figures of every variant, mean and sd over seeds; offsets for each fold come from the other folds."""
    return {
        variant: mean_and_sd(
            [both_columns(*_calibrated(parts, variant), CAP_CYCLES, CUTS_PER_ENGINE) for parts in runs]
        )
        for variant in runs[0][0].variants
    }


def levels(runs: list[list[HeldOut]], variant: str) -> tuple[Table, Table]:
    """Figures of one variant by predicted median and by true RUL, mean and sd over seeds."""
    outcomes = [_calibrated(parts, variant) for parts in runs]
    return (
        mean_and_sd([by_median(predictions, np.minimum(truth, CAP_CYCLES)) for predictions, truth in outcomes]),
        mean_and_sd([by_truth(predictions, truth, np.minimum(truth, CAP_CYCLES)) for predictions, truth in outcomes]),
    )


def pooled(parts: list[HeldOut], variant: str) -> tuple[list[RulCycles], NDArray[np.float64]]:
    """All predictions of a variant with their capped labels."""
    truth = np.concatenate([part.truth for part in parts])
    return [one for part in parts for one in part.variants[variant]], np.minimum(truth, CAP_CYCLES)


def _predict(lives: list[Life], model: tf.keras.Model, bundle: Bundle) -> HeldOut:
    features = Features(bundle.manifest.features)
    cuts = [cut_rows(life, FOLD_SEED) for life in lives]
    rows = np.concatenate([life_features(features, life)[cut] for life, cut in zip(lives, cuts, strict=True)])
    truth = np.concatenate([life.rul_cycles[cut] for life, cut in zip(lives, cuts, strict=True)])
    part = HeldOut(truth.astype(np.float64))
    for name, known in (("", rows), (", age unknown", forget_age(rows))):
        for runtime in installed():
            predictor = Predictor(bundle, runtime)
            part.variants[f"int8, {runtime}{name}"] = [
                predictor.predict_input(predictor.network.quantise(row).tobytes()) for row in known
            ]
        part.variants[f"float32{name}"] = [_from_float(output) for output in model(known).numpy()]
    return part


def _from_float(output: NDArray[np.float32]) -> RulCycles:
    mean, q05, q50, q95 = (output * CAP_CYCLES).tolist()
    return RulCycles(mean=mean, q05=q05, q50=q50, q95=q95)


def _calibrated(parts: list[HeldOut], variant: str) -> tuple[list[RulCycles], NDArray[np.float64]]:
    """Predictions of every fold, calibrated on the other folds, and the true RUL of each."""
    predictions: list[RulCycles] = []
    for part in parts:
        others = [other for other in parts if other is not part]
        offsets = fit_offsets(*pooled(others, variant))
        predictions += [calibrate(offsets, one) for one in part.variants[variant]]
    return predictions, np.concatenate([part.truth for part in parts])
