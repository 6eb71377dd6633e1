import numpy as np
import pytest

from models.reading import Life
from models.stepping import SteppedLife, steps
from models.training.faults import FAULTS
from shared.bundle import find_bundle, read_bundle
from shared.predictor import Predictor
from simulators.engine_model import SimulatedEngine

CUT = 90


@pytest.fixture(scope="module")
def predictor():
    return Predictor(read_bundle(find_bundle("turbofan")), "tflite-runtime")


@pytest.fixture(scope="module")
def life():
    return Life(1, np.array([row.values for row in SimulatedEngine("S1", 0).rows()])[: CUT + 10])


@pytest.fixture(scope="module")
def stepped(predictor, life):
    return SteppedLife(predictor, life)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_history_that_branches_off_gives_what_it_gives_from_its_first_row_on(predictor, life, stepped, fault):
    for seed in range(3):
        history = FAULTS[fault]((life.cycles[:CUT], life.values[:CUT]), np.random.default_rng(seed))
        assert stepped.last_step(*history) == steps(predictor, *history)[-1]


def test_the_life_itself_gives_its_own_steps(predictor, life, stepped):
    assert stepped.steps == steps(predictor, life.cycles, life.values)
    assert stepped.last_step(life.cycles[:CUT], life.values[:CUT]) == stepped.steps[CUT - 1]
    assert stepped.last_step(life.cycles[:1], life.values[:1]) == stepped.steps[0]


def test_the_age_can_be_withheld(predictor, life):
    step = steps(predictor, life.cycles[:3], life.values[:3], age_known=False)[-1]
    assert "unknown_age" in step.flags["cycle"]
