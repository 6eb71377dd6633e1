import msgspec
import numpy as np
import pytest

from models.reading import Life
from models.training.faults import CHANNELS_OUT, FAULTS, FLAGS, SHORT
from models.training.folds import CUTS_PER_ENGINE
from models.training.held_out import AGE_UNKNOWN, FLOAT, SHIPPED, FaultHeads, HeldOut
from models.training.specification import ALTITUDE, FEATURE_CHANNELS
from shared.cmapss import SUBSETS
from shared.quality import MISSING
from simulators.engine_model import SimulatedEngine

HIGH_KFT = 20.0
ENGINES = 20


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
    """Make the out-of-fold predictions of one fold."""
    return fold


def fold(seed, late_by=10.0, engines=ENGINES):
    """Predictions with an error of some 8 cycles in an interval of 4, worse where something is wrong."""
    generator = np.random.default_rng(seed)
    truth = generator.uniform(0, 200, engines * CUTS_PER_ENGINE).round()

    def heads(error_cycles):
        median = np.minimum(truth, 125) + late_by + generator.normal(0, error_cycles, len(truth))
        return np.column_stack([median, median - 2, median, median + 2])

    def faulty(name):
        raised = np.array([flags_of(name)] * len(truth))
        # The agent finds two faults of three.
        raised[2::3] = "{}" if name in FLAGS else raised[0]
        return FaultHeads(truth, heads(16), heads(8), raised)

    return HeldOut(
        np.repeat(SUBSETS, len(truth) // len(SUBSETS)),
        truth,
        {name + suffix: heads(8 + len(suffix) / 4) for name in (SHIPPED, FLOAT) for suffix in ("", AGE_UNKNOWN)},
        {name: faulty(name) for name in (*FAULTS, SHORT)},
    )


def flags_of(fault):
    """What the agent says of a fault, as JSON."""
    if fault in CHANNELS_OUT:
        out = CHANNELS_OUT.index(fault) + 1
        return msgspec.json.encode({name: [MISSING] for name in FEATURE_CHANNELS[:out]}).decode()
    return msgspec.json.encode({"cycle": [FLAGS[fault]]}).decode()
