"""One cycle of an engine as its sensors see it: climb, cruise and descent at one sample a second.

The engine model knows one row per cycle, and a gateway makes one row of a cycle's samples again. So that both are the
same row, samples lie around it in pairs: what a sensor reads too high in climb it reads too low in descent, and of two
samples of the cruise one is above the row by as much as the other is below. Mean and median are the row's, over the
cruise and over the whole flight. Altitude, Mach and throttle cannot be negative: there only the median is the row's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.cmapss import CHANNELS
from simulators.engine_model import Array

CLIMB_SHARE = 0.2
EXCESS = 0.03
IDLE_THROTTLE = 0.4
SHORTEST_FLIGHT_S = 10
STILL = ("altitude", "Mach", "TRA")
_HEIGHT = [CHANNELS.index(name) for name in ("altitude", "Mach")]
_THROTTLE = CHANNELS.index("TRA")


class Flight(NamedTuple):
    """The samples of one cycle, one a second.

    Attributes:
        values: shape (samples, 24), in the order of ``CHANNELS``.
        cruise: which samples are of the cruise.
    """

    values: Array
    cruise: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Profile:
    """How an engine flies.

    Attributes:
        flight_s: how long a flight is, at least ``SHORTEST_FLIGHT_S``.
        noise: sd of each channel from sample to sample, in its unit; length 24. Those in ``STILL`` have none.
    """

    flight_s: int
    noise: Sequence[float]

    def fly(self, row: Sequence[float], generator: np.random.Generator) -> Flight:
        """Spread a row of the engine model over a flight, of which the medians are that row, but for rounding."""
        mean = np.asarray(row, np.float64)
        climb = round(CLIMB_SHARE * self.flight_s)
        height = (1 - np.cos(np.pi * (np.arange(climb) + 0.5) / climb)) / 2
        # The excess only ever falls: a highest sample between two others would be a spike.
        up = EXCESS * (1 - height)[:, None] * mean + self._noise(climb, generator)
        level = self._paired_noise(self.flight_s - 2 * climb, generator)
        values = mean + np.concatenate([up, level, -up[::-1]])
        steady = np.ones(self.flight_s - 2 * climb)
        values[:, _HEIGHT] = mean[_HEIGHT] * np.concatenate([height, steady, height[::-1]])[:, None]
        values[:, _THROTTLE] = mean[_THROTTLE]
        values[-climb:, _THROTTLE] *= IDLE_THROTTLE
        return Flight(values, np.concatenate([0 * height, steady, 0 * height]) == 1)

    def _noise(self, samples: int, generator: np.random.Generator) -> Array:
        noise: Array = generator.standard_normal((samples, len(CHANNELS))) * np.asarray(self.noise)
        return noise

    def _paired_noise(self, samples: int, generator: np.random.Generator) -> Array:
        """Noise whose mean and median are 0."""
        half = self._noise(samples // 2, generator)
        paired = np.concatenate([half, -half, np.zeros((samples % 2, len(CHANNELS)))])
        shuffled: Array = generator.permuted(paired, axis=0)
        return shuffled
