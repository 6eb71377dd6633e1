"""The simulated engine: settings, 21 channels and a hidden wear that grows until failure, all from one seed.

There are four types of engine, named as the C-MAPSS subsets whose training engines they were fitted to: FD001 and
FD003 fly in one operating condition, FD002 and FD004 in six; in FD003 and FD004 either the compressor or the fan
wears out, in the others always the compressor. Every engine draws its fault mode, its life, the growth of its wear
and how each channel answers to it from a population; its rows add sensor noise and the rounding of the data files.
The constants of each type were fitted by ``simulators.fit`` and are frozen in ``engine_constants_<subset>.json``.
"""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.cmapss import CHANNELS, DECIMALS

CONSTANTS_FILE = "engine_constants_{subset}.json"

Array = NDArray[np.float64]


class Condition(msgspec.Struct, frozen=True):
    """One operating condition: healthy mean and noise of every channel, in the order of ``CHANNELS``.

    ``share`` of all cycles are flown in it, each cycle independently of the others.
    """

    share: float
    mean: list[float]
    noise: list[float]


class Answer(msgspec.Struct, frozen=True):
    """How the responding channels move, in units of their noise: a mean over engines, and factors in which they differ.

    ``mean`` is by condition and channel, ``factors`` by factor, condition and channel; an engine's parameters hold
    its score in each factor.
    """

    mean: list[list[float]]
    factors: list[list[list[float]]]

    def of(self, scores: Array) -> Array:
        """An engine's answer, shape (conditions, channels)."""
        mean: Array = np.array(self.mean)
        return mean + np.tensordot(scores, np.array(self.factors), axes=1)


class Population(msgspec.Struct, frozen=True):
    """How engines with one fault mode differ: the parameters of the engines it was fitted to, one list per engine.

    The parameters: log life, wear at the start, wear at failure, log power of its growth, then the scores of
    ``offsets`` (channels at the start) and of ``slopes`` (channels against the wear grown since). ``share`` of all
    engines belong to it. ``onset`` is that of ``growth``; ``jitter`` the standard deviation of wear from row to row;
    ``smoothing`` the share, from 0 to 1, of the parameters' standard deviation that is drawn anew for each simulated
    engine.
    """

    share: float
    responding: list[str]
    onset: float
    jitter: float
    smoothing: float
    offsets: Answer
    slopes: Answer
    engines: list[list[float]]


class Constants(msgspec.Struct, frozen=True):
    """All constants of one type of engine and the file they were fitted to."""

    fitted_to: str
    fitted_sha256: str
    conditions: list[Condition]
    populations: list[Population]


class SimulatedRow(NamedTuple):
    """One row of a simulated engine with its truth; ``values`` are in the order of ``CHANNELS``."""

    cycle: int
    values: tuple[float, ...]
    rul_cycles: int


@cache
def frozen_constants(subset: str) -> Constants:
    """The committed constants of a type of engine."""
    content = (files("simulators") / CONSTANTS_FILE.format(subset=subset)).read_bytes()
    return msgspec.json.decode(content, type=Constants)


class SimulatedEngine:
    """One engine from its first cycle to its failure; the same serial, seed and subset give the same engine.

    Attributes:
        life_cycles: its last cycle, after which it fails; the true RUL at a cycle is ``life_cycles - cycle``.
    """

    def __init__(self, serial: str, seed: int, *, subset: str = "FD001", constants: Constants | None = None) -> None:
        constants = constants or frozen_constants(subset)
        generator = np.random.default_rng([seed, *serial.encode()])
        # What only some types draw has a stream of its own: the engines of the others do not depend on it.
        (choices,) = generator.spawn(1)
        population = constants.populations[_choice([each.share for each in constants.populations], 1, choices)[0]]
        drawn = _parameters(population, generator)
        self.serial = serial
        self.life_cycles = max(2, round(float(np.exp(drawn[0]))))
        flown = _choice([each.share for each in constants.conditions], self.life_cycles, choices)
        jitter = population.jitter * choices.standard_normal(self.life_cycles)
        self._values = _life(drawn, constants.conditions, population, flown, jitter, generator)

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


def _choice(shares: list[float], size: int, generator: np.random.Generator) -> NDArray[np.intp]:
    chosen: NDArray[np.intp] = generator.choice(len(shares), size, p=np.array(shares) / sum(shares))
    return chosen


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


def _life(
    drawn: Array,
    conditions: list[Condition],
    population: Population,
    flown: NDArray[np.intp],
    jitter: Array,
    generator: np.random.Generator,
) -> Array:
    """All rows of an engine, shape (life_cycles, 24), rounded as in the data files."""
    responding = [CHANNELS.index(name) for name in population.responding]
    start, end, log_power = drawn[1:4].tolist()
    offsets, slopes = np.split(drawn[4:], [len(population.offsets.factors)])
    life_fraction = np.arange(1, len(flown) + 1) / len(flown)
    wear = growth(life_fraction, start, end, log_power, population.onset) + jitter
    deviation = generator.standard_normal((len(flown), len(CHANNELS)))
    deviation[:, responding] += (
        population.offsets.of(offsets)[flown] + wear[:, None] * population.slopes.of(slopes)[flown]
    )
    mean, noise = (np.array([getattr(each, name) for each in conditions]) for name in ("mean", "noise"))
    values: Array = mean[flown] + noise[flown] * deviation
    for column, name in enumerate(CHANNELS):
        values[:, column] = values[:, column].round(DECIMALS[name])
    return values
