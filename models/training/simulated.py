"""Simulated engines, which students train on beside the real ones.

Their constants are fitted to the very engines that the student trains on: it sees nothing of held-out engines, not even
through the simulator.
"""

import os
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np

from models.reading import Life
from models.training import recipe
from models.training.specification import Subsets
from simulators.engine_model import Constants, SimulatedEngine
from simulators.fit import fit

# The constants of each subset's engines.
Simulator = dict[str, Constants]


def fit_simulator(subsets: Subsets) -> Simulator:
    """Fit constants to some engines of each subset; takes some 20 s for all of C-MAPSS."""
    return {name: fit([life.values for life in lives], f"{len(lives)} of {name}") for name, lives in subsets.items()}


def beside(subsets: Subsets, seed: int, kept: Path) -> Subsets:
    """The simulated engines that a student trains on beside the engines in ``subsets``.

    Args:
        subsets: what the simulator is fitted to.
        seed: of the student; each has engines of its own.
        kept: file for the constants, which are the same for all seeds.
    """
    simulator = _kept_simulator(subsets, kept)
    draws = [simulate(simulator, subsets, f"training {number}", seed) for number in range(recipe.SIMULATED_PER_REAL)]
    return {name: [life for draw in draws for life in draw[name]] for name in subsets}


def simulate(simulator: Simulator, like: Subsets, draw: str, seed: int) -> Subsets:
    """As many engines of each type as there are in ``like``; another draw or seed gives other engines."""
    return {
        subset: [
            _life(life.unit, SimulatedEngine(f"{subset}-{draw}-{life.unit}", seed, constants=simulator[subset]))
            for life in lives
        ]
        for subset, lives in like.items()
    }


def _kept_simulator(subsets: Subsets, kept: Path) -> Simulator:
    with suppress(FileNotFoundError, msgspec.DecodeError):
        return msgspec.json.decode(kept.read_bytes(), type=Simulator)
    simulator = fit_simulator(subsets)
    kept.parent.mkdir(parents=True, exist_ok=True)
    # Beside this student another one may be fitting the same.
    unfinished = kept.with_suffix(f".{os.getpid()}.part")
    unfinished.write_bytes(msgspec.json.encode(simulator))
    unfinished.replace(kept)
    return simulator


def _life(unit: int, engine: SimulatedEngine) -> Life:
    return Life(unit, np.array([row.values for row in engine.rows()]))
