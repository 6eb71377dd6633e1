import numpy as np
import pytest

from models.reading import Life
from models.training.specification import ALTITUDE
from simulators.engine_model import SimulatedEngine

HIGH_KFT = 20.0


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
