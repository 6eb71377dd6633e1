"""The simulated engine: settings, 21 channels and a hidden wear that grows until failure, all from one seed.

Every engine draws its life, the growth of its wear and how each channel answers to it from a population; its
rows add sensor noise and the rounding of the data files. ``simulators.fit`` fitted the constants to the C-MAPSS
training engines; they are frozen in ``engine_constants.json``.
"""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.cmapss import CHANNELS, DECIMALS

CONSTANTS_FILE = "engine_constants.json"

Array = NDArray[np.float64]


class Regime(msgspec.Struct, frozen=True):
    """One operating condition: healthy mean and noise of every channel, in the order of ``CHANNELS``."""

    mean: list[float]
    noise: list[float]


class Population(msgspec.Struct, frozen=True):
    """How engines with one fault mode differ: the parameters of the engines it was fitted to, one list per engine.

    The parameters: log life, wear at the start, wear at failure, log power of its growth, then per responding
    channel its offset at the start and then its slope against the wear grown since, both in units of the channel's
    noise. ``onset`` is that of ``growth``; ``smoothing`` is the share, from 0 to 1, of the parameters' standard
    deviation that is drawn anew for each simulated engine.
    """

    responding: list[str]
    onset: float
    smoothing: float
    engines: list[list[float]]


class Constants(msgspec.Struct, frozen=True):
    """All constants of the engine model and the file they were fitted to."""

    fitted_to: str
    fitted_sha256: str
    regime: Regime
    population: Population


class SimulatedRow(NamedTuple):
    """One row of a simulated engine with its truth; ``values`` are in the order of ``CHANNELS``."""

    cycle: int
    values: tuple[float, ...]
    rul_cycles: int


@cache
def frozen_constants() -> Constants:
    """The committed constants."""
    content = (files("simulators") / CONSTANTS_FILE).read_bytes()
    return msgspec.json.decode(content, type=Constants)


class SimulatedEngine:
    """One engine from its first cycle to its failure; the same serial and seed give the same engine.

    Attributes:
        life_cycles: its last cycle, after which it fails; the true RUL at a cycle is ``life_cycles - cycle``.
    """

    def __init__(self, serial: str, seed: int, constants: Constants | None = None) -> None:
        constants = constants or frozen_constants()
        generator = np.random.default_rng([seed, *serial.encode()])
        drawn = _parameters(constants.population, generator)
        self.serial = serial
        self.life_cycles = max(2, round(float(np.exp(drawn[0]))))
        self._values = _life(drawn, self.life_cycles, constants, generator)

    def rows(self, from_cycle: int = 1) -> Iterator[SimulatedRow]:
        """Yield the rows from a cycle to the last."""
        for cycle in range(from_cycle, self.life_cycles + 1):
            yield SimulatedRow(cycle, tuple(self._values[cycle - 1].tolist()), self.life_cycles - cycle)


def growth(life_fraction: Array, start: float, end: float, log_power: float, onset: float) -> Array:
    """Wear grown since the start, from 0 to ``end - start``: ``onset × (exp(a t^b) - 1)``.

    The damage law of section IV in A. Saxena et al., PHM08; ``a`` follows from wear and life at failure.
    """
    grown: Array = onset * np.expm1(np.log1p((end - start) / onset) * life_fraction ** np.exp(log_power))
    return grown


def _parameters(population: Population, generator: np.random.Generator) -> Array:
    """A new engine's parameters, by a smoothed bootstrap with the mean and the covariance of the fitted engines.

    Engines differ in ways that no normal distribution has, above all in how Nc and NRc answer to wear.
    """
    engines = np.array(population.engines)
    mean = engines.mean(axis=0)
    deviations = engines - mean
    resampled = deviations[generator.integers(len(engines))]
    normal = generator.standard_normal(len(engines)) @ deviations / np.sqrt(len(engines))
    drawn: Array = mean + np.sqrt(1 - population.smoothing**2) * resampled + population.smoothing * normal
    return drawn


def _life(drawn: Array, life_cycles: int, constants: Constants, generator: np.random.Generator) -> Array:
    """All rows of an engine, shape (life_cycles, 24), rounded as in the data files."""
    responding = [CHANNELS.index(name) for name in constants.population.responding]
    offsets, slopes = np.split(drawn[4:], 2)
    life_fraction = np.arange(1, life_cycles + 1) / life_cycles
    start, end, log_power = drawn[1:4].tolist()
    grown = growth(life_fraction, start, end, log_power, constants.population.onset)
    deviation = generator.standard_normal((life_cycles, len(CHANNELS)))
    deviation[:, responding] += offsets + grown[:, None] * slopes
    values: Array = np.array(constants.regime.mean) + np.array(constants.regime.noise) * deviation
    for column, name in enumerate(CHANNELS):
        values[:, column] = values[:, column].round(DECIMALS[name])
    return values
