"""What goes wrong at a gateway, done to the histories of held-out engines: what it costs, and how far it widens.

A history is the cycles and rows of one engine up to a cut; every fault gives another history with the same end. What
is wrong with it is for the agent's own code to find.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from models.training import recipe
from models.training.specification import ALTITUDE, COLUMNS, LATEST_BASELINE_START
from shared.quality import DRIFT, LATE_START, RECOVERING, SHORT_HISTORY, SHORT_LATE_START, STUCK, WINDOW_GAP

LONGEST_GAP_CYCLES = 50
GAP_BEFORE_ROWS = 40
LONGEST_BACK_ROWS = 50
# In sd of the channel's noise a cycle.
SLOWEST_DRIFT, FASTEST_DRIFT = 0.2, 5.0

History = tuple[NDArray[np.int64], NDArray[np.float64]]
Fault = Callable[[History, np.random.Generator], History | None]


def channels_out(count: int, history: History, generator: np.random.Generator) -> History:
    """From a random row on, some feature channels give nothing any more."""
    cycles, values = history
    values = values.copy()
    columns = generator.choice(COLUMNS, count, replace=False)
    values[generator.integers(len(values)) :, columns] = np.nan
    return cycles, values


def channel_back(history: History, generator: np.random.Generator) -> History:
    """A feature channel gave nothing for some time, and came back in one of the latest rows."""
    cycles, values = history
    values = values.copy()
    back = max(1, len(values) - generator.integers(1, LONGEST_BACK_ROWS + 1))
    values[generator.integers(back) : back, generator.choice(COLUMNS)] = np.nan
    return cycles, values


def channel_stuck(history: History, generator: np.random.Generator) -> History:
    """From a random row on, a feature channel shows the same value."""
    cycles, values = history
    values = values.copy()
    column, first = generator.choice(COLUMNS), generator.integers(len(values))
    values[first:, column] = values[first, column]
    return cycles, values


def channel_drifts(history: History, generator: np.random.Generator) -> History:
    """From a random row on, a feature channel wanders off, up or down, farther with each cycle."""
    cycles, values = history
    values = values.copy()
    noise = noise_sd(values)
    column, first = generator.choice(np.array(COLUMNS)[noise[COLUMNS] > 0]), generator.integers(len(values))
    rate = np.exp(generator.uniform(np.log(SLOWEST_DRIFT), np.log(FASTEST_DRIFT))) * generator.choice([-1, 1])
    values[first:, column] += rate * noise[column] * (cycles[first:] - cycles[first] + 1)
    return cycles, values


def cycles_skipped(history: History, generator: np.random.Generator) -> History:
    """Some of the latest cycles never came; the first and the last did."""
    cycles, values = history
    last = len(cycles) - 1 - generator.integers(min(GAP_BEFORE_ROWS, len(cycles) - 2))
    first = max(1, last - generator.integers(1, LONGEST_GAP_CYCLES + 1))
    kept = np.r_[0:first, last : len(cycles)]
    return cycles[kept], values[kept]


def starts_late(history: History, generator: np.random.Generator) -> History | None:
    """The gateway saw nothing of the engine's youth, but no fewer rows than a history that is not short.

    None where the engine has not lived long enough for that.
    """
    latest = len(history[0]) - recipe.SHORT_HISTORY_ROWS
    if latest < LATEST_BASELINE_START:
        return None
    return _from(generator.integers(LATEST_BASELINE_START, latest + 1), history)


def starts_late_short(history: History, generator: np.random.Generator) -> History:
    """The gateway saw only the latest rows, fewer than a history that is not short has."""
    rows = len(history[0])
    earliest = max(LATEST_BASELINE_START, rows - recipe.SHORT_HISTORY_ROWS + 1)
    return _from(generator.integers(earliest, rows), history)


def noise_sd(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sd of each channel's noise, by how much it changes between rows of the same operating condition."""
    altitude = values[:, ALTITUDE].round()
    changes = [np.diff(values[altitude == one], axis=0) for one in np.unique(altitude)]
    noise: NDArray[np.float64] = np.sqrt((np.concatenate(changes) ** 2).mean(axis=0) / 2)
    return noise


def _from(first: int, history: History) -> History:
    return history[0][first:], history[1][first:]


STARTS_LATE, STARTS_LATE_SHORT = "starts late", "starts late, short"
STUCK_CHANNEL, CHANNEL_BACK, SKIPPED = "a channel stuck", "a channel back", "cycles skipped"
DRIFTING_CHANNEL = "a channel drifts"
SHORT = "short history"
CHANNELS_OUT = [f"channels out: {count}" for count in range(1, recipe.MOST_UNUSABLE_CHANNELS + 1)]
FAULTS: dict[str, Fault] = {
    **{name: partial(channels_out, count) for count, name in enumerate(CHANNELS_OUT, start=1)},
    CHANNEL_BACK: channel_back,
    STUCK_CHANNEL: channel_stuck,
    SKIPPED: cycles_skipped,
    STARTS_LATE: starts_late,
    STARTS_LATE_SHORT: starts_late_short,
    DRIFTING_CHANNEL: channel_drifts,
}
# By which flag the agent finds a fault, where it does; channels that are out it counts.
FLAGS = {
    SHORT: SHORT_HISTORY,
    STARTS_LATE: LATE_START,
    STARTS_LATE_SHORT: SHORT_LATE_START,
    STUCK_CHANNEL: STUCK,
    CHANNEL_BACK: RECOVERING,
    SKIPPED: WINDOW_GAP,
    DRIFTING_CHANNEL: DRIFT,
}
