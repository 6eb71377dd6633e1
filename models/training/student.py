"""Third step: the student and its int8 form.

Four small multilayer perceptrons with heads mean, q05, q50, q95 side by side in one graph; the student is their
mean. They start apart and each has its own loss, but they see the same batches.

The last epochs are without dropout. Its noise grows with the activations, so the loss with dropout also pays for large
ones (Wager et al., NeurIPS 2013): near failure, where the heads must reach far down, they stay some cycles too high.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from shared.features import forget_age

MEMBERS = 4
HIDDEN = (64, 32)
DROPOUT = 0.1
AGE_DROPOUT = 0.15
EPOCHS = 100
DROPOUT_EPOCHS = 80
BATCH = 512
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-3
SQUARED_WEIGHT = 2.0
QUANTILES = (0.05, 0.5, 0.95)
CALIBRATION_ROWS = 500

Floats = NDArray[np.float32]


def make_deterministic() -> None:
    """One thread and deterministic kernels, so that the same seed gives the same file."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()


def train(features: Floats, label: Floats, seed: int, after_epoch: Callable[[], None]) -> tf.keras.Model:
    """Train one student for a fixed number of epochs.

    Args:
        features: shape (rows, features); the last two are the age and whether it is known.
        label: RUL in units of the head scale, shape (rows,).
        seed: of initial weights, dropout and the order of rows.
        after_epoch: called after each epoch.
    """
    tf.keras.utils.set_random_seed(seed)
    members, model = _networks(features.shape[1])
    steps = EPOCHS * -(-len(features) // BATCH)
    rate = tf.keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    optimizer = tf.keras.optimizers.AdamW(rate, weight_decay=WEIGHT_DECAY)

    @tf.function
    def step(batch: tf.Tensor, truth: tf.Tensor, dropout: bool) -> None:
        with tf.GradientTape() as tape:
            loss = tf.add_n([_loss(truth, output) for output in members(batch, training=dropout)])
        gradients = tape.gradient(loss, members.trainable_variables)
        optimizer.apply_gradients(zip(gradients, members.trainable_variables, strict=True))

    generator = np.random.default_rng(seed)
    for epoch in range(EPOCHS):
        for batch, truth in _batches(features, label, generator):
            step(batch, truth, epoch < DROPOUT_EPOCHS)
        after_epoch()
    _average_heads(members, model)
    return model


def to_int8(model: tf.keras.Model, features: Floats, seed: int) -> bytes:
    """Convert to a full int8 TFLite file, ranges from some training rows, some of them without age."""
    rows = np.random.default_rng(seed).choice(len(features), CALIBRATION_ROWS, replace=False)
    sample = features[rows]
    sample[: CALIBRATION_ROWS // 5] = forget_age(sample[: CALIBRATION_ROWS // 5])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([row[None]] for row in sample)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with _silence():
        return bytes(converter.convert())


def quantisation(model: bytes) -> tuple[tuple[float, int], tuple[float, int]]:
    """Scale and zero point of an int8 file's input and output."""
    interpreter = tf.lite.Interpreter(model_content=model)
    details = (interpreter.get_input_details()[0], interpreter.get_output_details()[0])
    (first, second) = [detail["quantization"] for detail in details]
    return (float(first[0]), int(first[1])), (float(second[0]), int(second[1]))


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
    hidden = [features] * MEMBERS
    for units in HIDDEN:
        hidden = [tf.keras.layers.Dense(units, "relu")(layer) for layer in hidden]
        hidden = [tf.keras.layers.Dropout(DROPOUT)(layer) for layer in hidden]
    heads = [tf.keras.layers.Dense(1 + len(QUANTILES), name=f"head{k}")(hidden[k]) for k in range(MEMBERS)]
    student_head = tf.keras.layers.Dense(1 + len(QUANTILES), name="head")
    student = tf.keras.Model(features, student_head(tf.keras.layers.Concatenate()(hidden)))
    return tf.keras.Model(features, heads), student


def _average_heads(members: tf.keras.Model, student: tf.keras.Model) -> None:
    """Make the student the mean of its members: one dense head over all of them, so that int8 rounds only once."""
    heads = [members.get_layer(f"head{k}").get_weights() for k in range(MEMBERS)]
    kernel = np.concatenate([weights for weights, _ in heads]) / MEMBERS
    student.get_layer("head").set_weights([kernel, np.mean([bias for _, bias in heads], axis=0)])


def _loss(truth: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
    """Squared error of the mean and pinball loss of the quantiles."""
    error = truth - output[:, 1:]
    pinball = tf.maximum(QUANTILES * error, (np.array(QUANTILES, np.float32) - 1) * error)
    return SQUARED_WEIGHT * tf.reduce_mean((truth - output[:, :1]) ** 2) + tf.reduce_mean(pinball)


def _batches(features: Floats, label: Floats, generator: np.random.Generator) -> Iterator[tuple[Floats, Floats]]:
    """Shuffled batches in which some rows lose their age."""
    order = generator.permutation(len(features))
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        batch = features[rows]
        batch[generator.random(len(rows)) < AGE_DROPOUT, -2:] = 0
        yield batch, label[rows, None]
