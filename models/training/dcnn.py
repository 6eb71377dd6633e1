"""The DCNN baseline: convolutions over the rows of a raw window, for a paired comparison with the student.

After Li, Ding and Sun, Remaining useful life estimation in prognostics using deep convolution neural networks,
Reliability Engineering & System Safety 172 (2018): every convolution is the same for each channel, with zeros beyond
the window. It is computed as matrix products over blocks of rows, which takes a third of the time that TensorFlow's
own convolution takes for so few filters.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.training.windows import CHANNELS, WINDOW_ROWS

# Rows that a filter sees, and filters, layer by layer.
TAPS = (10, 10, 10, 10, 3)
FILTERS = (10, 10, 10, 10, 1)
DENSE = 100
DROPOUT = 0.5
BATCH = 32
LEARNING_RATE = 1e-3
# For the last fifth of all steps, as in the paper.
LAST_LEARNING_RATE = 1e-4
FIRST_SHARE = 0.8
BLOCK_ROWS = 10
PREDICTION_ROWS = 1024

Floats = NDArray[np.float32]


class Dcnn:
    """One network, trained as often as wanted, each time from the beginning: to compile it takes many seconds."""

    def __init__(self) -> None:
        self._variables = [tf.Variable(tf.zeros(shape)) for shape in _shapes()]
        self._optimizer = tf.keras.optimizers.Adam(LEARNING_RATE)
        self._optimizer.build(self._variables)
        self._step = tf.function(self._update, jit_compile=True)

    def train(self, windows: Floats, label: Floats, steps: int, seed: int, after_step: Callable[[], None]) -> None:
        """Train anew for a fixed number of steps; the same seed gives the same network.

        Args:
            windows: shape (windows, ``WINDOW_ROWS``, channels), oldest row first; more than a batch of them.
            label: shape (windows,).
            steps: batches to learn from.
            seed: of initial weights, dropout and the order of windows.
            after_step: called after each step.
        """
        generator = np.random.default_rng(seed)
        self._start_anew(generator)
        order = np.empty(0, np.int64)
        for step in range(steps):
            if len(order) < BATCH:
                order = generator.permutation(len(windows))
            batch, order = order[:BATCH], order[BATCH:]
            self._optimizer.learning_rate = LEARNING_RATE if step < FIRST_SHARE * steps else LAST_LEARNING_RATE
            self._step(windows[batch], label[batch, None], tf.constant((seed, step)))
            after_step()

    def predict(self, windows: Floats) -> Floats:
        """Predict the label of each window, shape (windows,)."""
        starts = range(0, len(windows), PREDICTION_ROWS)
        parts = [self._output(tf.constant(windows[start : start + PREDICTION_ROWS])) for start in starts]
        return np.concatenate([part.numpy()[:, 0] for part in parts])

    def _start_anew(self, generator: np.random.Generator) -> None:
        """Xavier's initial weights, biases of 0, and an optimizer that has seen nothing."""
        for variable in self._variables:
            size = np.zeros(variable.shape)
            if len(variable.shape) > 1:
                taps = int(np.prod(variable.shape[:-2]))
                size += np.sqrt(2 / (taps * sum(variable.shape[-2:])))
            variable.assign(generator.normal(0, size))
        for variable in self._optimizer.variables:
            variable.assign(tf.zeros_like(variable))

    def _update(self, windows: tf.Tensor, label: tf.Tensor, dropout_seed: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self._output(windows, dropout_seed) - label) ** 2)
        gradients = tape.gradient(loss, self._variables)
        self._optimizer.apply_gradients(zip(gradients, self._variables, strict=True))

    def _output(self, windows: tf.Tensor, dropout_seed: tf.Tensor | None = None) -> tf.Tensor:
        """With a seed some of the inputs of the dense layer are dropped."""
        *convolutions, kernel, bias, last_kernel, last_bias = self._variables
        # Channels stand beside each other like the windows of a batch: shape (windows × channels, rows × filters).
        layer = tf.reshape(tf.transpose(windows, (0, 2, 1)), (-1, WINDOW_ROWS))
        for weights in zip(convolutions[::2], convolutions[1::2], strict=True):
            layer = tf.tanh(convolve(layer, *weights))
        layer = tf.reshape(layer, (-1, len(CHANNELS) * WINDOW_ROWS))
        if dropout_seed is not None:
            layer = tf.nn.experimental.stateless_dropout(layer, DROPOUT, dropout_seed)
        return tf.tanh(layer @ kernel + bias) @ last_kernel + last_bias


def convolve(layer: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Convolve over rows, with zeros beyond the window.

    Args:
        layer: shape (…, rows × filters before), row by row.
        kernel: shape (taps, filters before, filters).
        bias: shape (filters,).

    Returns:
        Shape (…, rows × filters).
    """
    taps, before, filters = kernel.shape
    earlier = (taps - 1) // 2
    parts = []
    for first in range(0, WINDOW_ROWS, BLOCK_ROWS):
        last = first + BLOCK_ROWS
        begin, end = max(0, first - earlier), min(WINDOW_ROWS, last + taps - 1 - earlier)
        # Which tap leads from a row before to a row after: one at most.
        tap = np.subtract.outer(np.arange(begin, end), np.arange(first, last)) + earlier
        chosen = np.equal.outer(tap, np.arange(taps)).astype(np.float32)
        banded = tf.einsum("iot,tbf->ibof", chosen, kernel)
        matrix = tf.reshape(banded, ((end - begin) * before, BLOCK_ROWS * filters))
        parts.append(layer[:, begin * before : end * before] @ matrix)
    return tf.concat(parts, axis=1) + tf.tile(bias, (WINDOW_ROWS,))


def _shapes() -> list[tuple[int, ...]]:
    """Of kernel and bias, layer by layer."""
    convolutions = zip(TAPS, pairwise((1, *FILTERS)), strict=True)
    shapes: list[tuple[int, ...]] = []
    for taps, (before, filters) in convolutions:
        shapes += [(taps, before, filters), (filters,)]
    return [*shapes, (len(CHANNELS) * WINDOW_ROWS, DENSE), (DENSE,), (DENSE, 1), (1,)]
