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
from models.training.batches import batches, disturbed, range_sample
from shared.features import Features
from shared.manifest import Quantisation

QUANTILES = (0.05, 0.5, 0.95)

Floats = NDArray[np.float32]
# Kernel and bias of each layer, those of all members stacked: one product for all of them takes a third of the time.
Layers = list[tuple[tf.Variable, tf.Variable]]


def make_deterministic() -> None:
    """One thread and deterministic kernels, so that the same seed gives the same file."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()


def train(
    features: Features, rows: Floats, label: Floats, weight: Floats, seed: int, after_epoch: Callable[[], None]
) -> tf.keras.Model:
    """Train one student for a fixed number of epochs.

    Args:
        features: knows what is shown with the age and without it, and how to forget the baseline.
        rows: shape (rows, features).
        label: RUL in units of the head scale, shape (rows,).
        weight: how much each row counts, 1 on average, shape (rows,).
        seed: of initial weights, dropout and the order of rows.
        after_epoch: called after each epoch.
    """
    tf.keras.utils.set_random_seed(seed)
    generator = np.random.default_rng(seed)
    layers = _start(rows.shape[1], generator)
    variables = [variable for layer in layers for variable in layer]
    steps = recipe.EPOCHS * -(-len(rows) // recipe.BATCH)
    rate = tf.keras.optimizers.schedules.CosineDecay(recipe.LEARNING_RATE, steps)
    optimizer = tf.keras.optimizers.AdamW(rate, weight_decay=recipe.WEIGHT_DECAY)
    optimizer.build(variables)

    @tf.function
    def step(batch: tf.Tensor, truth: tf.Tensor, worth: tf.Tensor, dropout: bool) -> None:
        with tf.GradientTape() as tape:
            loss = _loss(truth, worth, _outputs(layers, batch, dropout))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    for epoch in range(recipe.EPOCHS):
        noisy = epoch < recipe.DROPOUT_EPOCHS
        for chosen in batches(len(rows), generator):
            batch = disturbed(features, rows[chosen], generator, recipe.INPUT_NOISE if noisy else 0.0)
            step(batch, label[chosen, None], weight[chosen, None], noisy)
        after_epoch()
    return _student(layers)


def to_int8(model: tf.keras.Model, features: Features, rows: Floats, seed: int) -> bytes:
    """Convert to a full int8 TFLite file, ranges from some training rows."""
    sample = range_sample(features, rows, seed)
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


def _start(width: int, generator: np.random.Generator) -> Layers:
    """Kernels, shape (members, inputs, units), and biases, shape (members, 1, units); Glorot and Bengio, 2010."""
    layers = []
    for units in (*recipe.HIDDEN, 1 + len(QUANTILES)):
        limit = np.sqrt(6 / (width + units))
        kernel = generator.uniform(-limit, limit, (recipe.MEMBERS, width, units)).astype(np.float32)
        layers.append((tf.Variable(kernel), tf.Variable(tf.zeros((recipe.MEMBERS, 1, units)))))
        width = units
    return layers


def _outputs(layers: Layers, rows: tf.Tensor, dropout: bool) -> tf.Tensor:
    """What each member says, shape (members, rows, heads)."""
    *hidden, (kernel, bias) = layers
    values = rows[None]
    for weights, shift in hidden:
        values = tf.nn.relu(values @ weights + shift)
        values = tf.nn.dropout(values, recipe.DROPOUT) if dropout else values
    return values @ kernel + bias


def _student(layers: Layers) -> tf.keras.Model:
    """The mean of the members, as one graph: one dense head over all of them, so that int8 rounds only once."""
    *hidden, (kernel, bias) = [(weights.numpy(), shift.numpy()) for weights, shift in layers]
    inputs = tf.keras.layers.Input((layers[0][0].shape[1],))
    ends = [inputs] * recipe.MEMBERS
    for weights, shift in hidden:
        dense = [tf.keras.layers.Dense(weights.shape[2], "relu") for _ in ends]
        ends = [layer(end) for layer, end in zip(dense, ends, strict=True)]
        for member, layer in enumerate(dense):
            layer.set_weights([weights[member], shift[member, 0]])
    head = tf.keras.layers.Dense(kernel.shape[2])
    student = tf.keras.Model(inputs, head(tf.keras.layers.Concatenate()(ends)))
    head.set_weights([np.concatenate(kernel) / recipe.MEMBERS, bias[:, 0].mean(axis=0)])
    return student


def _loss(truth: tf.Tensor, worth: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Squared error of the mean and pinball loss of the quantiles; of each member, summed."""
    error = truth - outputs[..., 1:]
    pinball = tf.maximum(QUANTILES * error, (np.array(QUANTILES, np.float32) - 1) * error)
    squared = recipe.SQUARED_WEIGHT * (truth - outputs[..., :1]) ** 2
    return tf.reduce_sum(tf.reduce_mean(worth * (squared + tf.reduce_mean(pinball, 2, keepdims=True)), (1, 2)))
