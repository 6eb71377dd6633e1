"""Third step: the student and its int8 form.

Small multilayer perceptrons with heads mean, q05, q50, q95 side by side in one graph; the student is their mean.
They start apart and each has its own loss, but they see the same batches.

The last epochs are without dropout and noise on the inputs. What dropout adds grows with the activations, so the loss
with it also pays for large ones (Wager et al., NeurIPS 2013): near failure, where the heads must reach far down, they
stay some cycles too high.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.training import recipe
from shared.features import MARKS, Features
from shared.manifest import Quantisation

QUANTILES = (0.05, 0.5, 0.95)

Floats = NDArray[np.float32]


def make_deterministic() -> None:
    """One thread and deterministic kernels, so that the same seed gives the same file."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()


def train(
    features: Features, rows: Floats, label: Floats, seed: int, after_epoch: Callable[[], None]
) -> tf.keras.Model:
    """Train one student for a fixed number of epochs.

    Args:
        features: knows how to forget age and baseline.
        rows: shape (rows, features).
        label: RUL in units of the head scale, shape (rows,).
        seed: of initial weights, dropout and the order of rows.
        after_epoch: called after each epoch.
    """
    tf.keras.utils.set_random_seed(seed)
    members, model = _networks(rows.shape[1])
    steps = recipe.EPOCHS * -(-len(rows) // recipe.BATCH)
    rate = tf.keras.optimizers.schedules.CosineDecay(recipe.LEARNING_RATE, steps)
    optimizer = tf.keras.optimizers.AdamW(rate, weight_decay=recipe.WEIGHT_DECAY)

    @tf.function
    def step(batch: tf.Tensor, truth: tf.Tensor, dropout: bool) -> None:
        with tf.GradientTape() as tape:
            loss = tf.add_n([_loss(truth, output) for output in members(batch, training=dropout)])
        gradients = tape.gradient(loss, members.trainable_variables)
        optimizer.apply_gradients(zip(gradients, members.trainable_variables, strict=True))

    generator = np.random.default_rng(seed)
    for epoch in range(recipe.EPOCHS):
        noisy = epoch < recipe.DROPOUT_EPOCHS
        for batch, truth in _batches(features, rows, label, generator, recipe.INPUT_NOISE if noisy else 0.0):
            step(batch, truth, noisy)
        after_epoch()
    _average_heads(members, model)
    return model


def to_int8(model: tf.keras.Model, features: Features, rows: Floats, seed: int) -> bytes:
    """Convert to a full int8 TFLite file, ranges from some training rows, some of them without age."""
    chosen = np.random.default_rng(seed).choice(len(rows), recipe.CALIBRATION_ROWS, replace=False)
    sample = rows[chosen]
    without = recipe.CALIBRATION_ROWS // 5
    sample[:without] = features.forget_age(sample[:without])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([row[None]] for row in sample)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with _silence():
        return bytes(converter.convert())


def quantisation(model: bytes) -> tuple[Quantisation, Quantisation]:
    """How an int8 file's input and output are stored."""
    interpreter = tf.lite.Interpreter(model_content=model)
    details = (interpreter.get_input_details()[0], interpreter.get_output_details()[0])
    first, second = (
        Quantisation(scale=float(scale), zero_point=int(zero))
        for scale, zero in (one["quantization"] for one in details)
    )
    return first, second


@contextmanager
def _silence() -> Iterator[None]:
    """The converter reports every layer on the terminal, past Python's own streams."""
    kept = [(stream, os.dup(stream)) for stream in (1, 2)]
    with open(os.devnull, "wb") as nowhere, warnings.catch_warnings(action="ignore"):
        for stream, _ in kept:
            os.dup2(nowhere.fileno(), stream)
        try:
            yield
        finally:
            for stream, copy in kept:
                os.dup2(copy, stream)
                os.close(copy)


def _networks(width: int) -> tuple[tf.keras.Model, tf.keras.Model]:
    """The members with an output each, and the student on the same hidden layers with one head over all."""
    features = tf.keras.layers.Input((width,))
    hidden = [features] * recipe.MEMBERS
    for units in recipe.HIDDEN:
        hidden = [tf.keras.layers.Dense(units, "relu")(layer) for layer in hidden]
        hidden = [tf.keras.layers.Dropout(recipe.DROPOUT)(layer) for layer in hidden]
    heads = [tf.keras.layers.Dense(1 + len(QUANTILES), name=f"head{k}")(hidden[k]) for k in range(recipe.MEMBERS)]
    student_head = tf.keras.layers.Dense(1 + len(QUANTILES), name="head")
    student = tf.keras.Model(features, student_head(tf.keras.layers.Concatenate()(hidden)))
    return tf.keras.Model(features, heads), student


def _average_heads(members: tf.keras.Model, student: tf.keras.Model) -> None:
    """Make the student the mean of its members: one dense head over all of them, so that int8 rounds only once."""
    heads = [members.get_layer(f"head{k}").get_weights() for k in range(recipe.MEMBERS)]
    kernel = np.concatenate([weights for weights, _ in heads]) / recipe.MEMBERS
    student.get_layer("head").set_weights([kernel, np.mean([bias for _, bias in heads], axis=0)])


def _loss(truth: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
    """Squared error of the mean and pinball loss of the quantiles."""
    error = truth - output[:, 1:]
    pinball = tf.maximum(QUANTILES * error, (np.array(QUANTILES, np.float32) - 1) * error)
    return recipe.SQUARED_WEIGHT * tf.reduce_mean((truth - output[:, :1]) ** 2) + tf.reduce_mean(pinball)


def _batches(
    features: Features, rows: Floats, label: Floats, generator: np.random.Generator, noise: float
) -> Iterator[tuple[Floats, Floats]]:
    """Shuffled batches with noise, in which some rows lose their age, and some the engine's own first rows."""
    order = generator.permutation(len(rows))
    for start in range(0, len(order), recipe.BATCH):
        chosen = order[start : start + recipe.BATCH]
        batch = rows[chosen]
        measured = batch[:, : -len(MARKS)]
        measured += noise * generator.standard_normal(measured.shape, np.float32)
        for forget, share in (
            (features.forget_age, recipe.AGE_DROPOUT),
            (features.forget_baseline, recipe.BASELINE_DROPOUT),
        ):
            forgetting = generator.random(len(chosen)) < share
            batch[forgetting] = forget(batch[forgetting])
        yield batch, label[chosen, None]
