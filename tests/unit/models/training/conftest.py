import numpy as np
import pytest

from models.reading import Life
from models.training.faults import FAULTS
from models.training.folds import CUTS_PER_ENGINE
from models.training.held_out import AGE_UNKNOWN, SHIPPED, SHORT, FaultHeads, HeldOut
from models.training.specification import ALTITUDE
from simulators.engine_model import SimulatedEngine

HIGH_KFT = 20.0
ENGINES = 40


@pytest.fixture(scope="session")
def subsets():
    """Two subsets of a dozen engines; those of the second fly low and high by turns, where every sensor reads less."""
    low = [life_of(unit, f"S{unit}") for unit in range(1, 13)]
    return {"FD001": low, "FD002": [by_turns(life_of(unit, f"T{unit}")) for unit in range(1, 13)]}


def life_of(unit, serial):
    return Life(unit, np.array([row.values for row in SimulatedEngine(serial, 0).rows()]))


def by_turns(life):
    values = life.values.copy()
    high = np.arange(len(values)) % 2 == 1
    values[high] *= 0.8
    values[high, ALTITUDE] = HIGH_KFT + np.linspace(0, 0.01, high.sum())
    return Life(life.unit, values)


@pytest.fixture(scope="session")
def make_fold():
    """Make the out-of-fold predictions of one fold, of two subsets."""
    return fold


def fold(seed, late_by=10.0):
    """Predictions with an error of some 8 cycles in an interval of 4, worse where something is wrong."""
    generator = np.random.default_rng(seed)
    truth = generator.uniform(0, 200, ENGINES * CUTS_PER_ENGINE).round()

    def heads(error_cycles):
        median = np.minimum(truth, 125) + late_by + generator.normal(0, error_cycles, len(truth))
        return np.column_stack([median, median - 2, median, median + 2])

    return HeldOut(
        np.repeat(["FD001", "FD003"], len(truth) // 2),
        truth,
        {SHIPPED: heads(8), SHIPPED + AGE_UNKNOWN: heads(12)},
        {name: FaultHeads(truth, heads(16), heads(8)) for name in (*FAULTS, SHORT)},
    )
