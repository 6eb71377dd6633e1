"""What goes wrong at a gateway, done to the histories of held-out engines: what it costs, and how far it widens.

A history is the cycles and rows of one engine up to a cut; every fault gives another history with the same end.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from models.training import recipe
from models.training.specification import COLUMNS, LATEST_BASELINE_START

LONGEST_GAP_CYCLES = 50
GAP_BEFORE_ROWS = 40

History = tuple[NDArray[np.int64], NDArray[np.float64]]
Fault = Callable[[History, np.random.Generator, NDArray[np.int64]], History]


def channels_out(
    count: int, history: History, generator: np.random.Generator, _stuck_rows: NDArray[np.int64]
) -> History:
    """From a random row on, some feature channels give nothing any more."""
    cycles, values = history
    values = values.copy()
    columns = generator.choice(COLUMNS, count, replace=False)
    values[generator.integers(len(values)) :, columns] = np.nan
    return cycles, values


def channel_stuck(history: History, generator: np.random.Generator, stuck_rows: NDArray[np.int64]) -> History:
    """From a random row on, a feature channel shows the same value, until it is found to be stuck."""
    cycles, values = history
    values = values.copy()
    column = generator.choice([column for column in COLUMNS if stuck_rows[column]])
    first = generator.integers(len(values))
    values[first:, column] = values[first, column]
    values[first + stuck_rows[column] - 1 :, column] = np.nan
    return cycles, values


def cycles_skipped(history: History, generator: np.random.Generator, _stuck_rows: NDArray[np.int64]) -> History:
    """Some of the latest cycles never came; the first and the last did."""
    cycles, values = history
    last = len(cycles) - 1 - generator.integers(min(GAP_BEFORE_ROWS, len(cycles) - 1))
    first = max(1, last - generator.integers(1, LONGEST_GAP_CYCLES + 1))
    kept = np.r_[0:first, last : len(cycles)]
    return cycles[kept], values[kept]


def starts_late(history: History, generator: np.random.Generator, _stuck_rows: NDArray[np.int64]) -> History:
    """The gateway saw nothing of the engine's youth, but no fewer rows than a history that is not short."""
    cycles, values = history
    latest = max(LATEST_BASELINE_START, len(cycles) - recipe.SHORT_HISTORY_ROWS)
    first = generator.integers(LATEST_BASELINE_START, latest + 1)
    return cycles[first:], values[first:]


CHANNELS_OUT = [f"channels out: {count}" for count in range(1, recipe.MOST_UNUSABLE_CHANNELS + 1)]
FAULTS: dict[str, Fault] = {
    **{name: partial(channels_out, count) for count, name in enumerate(CHANNELS_OUT, start=1)},
    "a channel stuck": channel_stuck,
    "cycles skipped": cycles_skipped,
    "starts late": starts_late,
}
