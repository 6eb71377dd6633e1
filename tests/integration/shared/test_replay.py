"""A stored prediction comes out again from its input tensor, and what could not have is told apart."""

from datetime import UTC, datetime
from itertools import islice

import numpy as np
import pytest
from msgspec.structs import replace

from shared.cmapss import CHANNELS
from shared.predictor import load_bundle
from shared.replay import ReplayError, replay
from shared.rows import SensorRow
from simulators.engine_model import SimulatedEngine


@pytest.fixture
def predictor(released, runtime):
    return load_bundle(released, runtime)


@pytest.fixture
def steps(predictor):
    """What the predictor made of 60 rows, in one of which a channel is missing."""
    state, found = predictor.new_state(), []
    for cycle, values, _ in islice(SimulatedEngine("L1", seed=5).rows(), 60):
        channels = dict(zip(CHANNELS, values, strict=True)) | ({"T30": float("nan")} if cycle == 40 else {})
        found.append(predictor.step(state, SensorRow("L1", cycle, datetime(2026, 1, 1, tzinfo=UTC), channels)))
    return found


def test_on_the_same_runtime_every_number_is_the_same(predictor, steps):
    for step in steps:
        again = replay(predictor, step.outcome.input, step.flags, step.outcome.rul_cycles)
        assert (again.agreement, again.rul_cycles) == ("identical", step.outcome.rul_cycles)


@pytest.mark.parametrize(
    ("change", "agreement"),
    [
        ((1, 0, 0, 0), "one_step"),
        ((-1, 1, -1, 1), "one_step"),
        ((0, 0, 2, 0), "different"),
        ((5, 5, 5, 5), "different"),
    ],
)
def test_outputs_of_another_runtime_are_told_from_another_prediction(predictor, steps, change, agreement):
    step = steps[-1]
    output = predictor.network.run(np.frombuffer(step.outcome.input, np.int8)).astype(int)
    stored = predictor.interpret(output + change, step.flags)
    assert replay(predictor, step.outcome.input, step.flags, stored).agreement == agreement


def test_what_was_tampered_with_is_different(predictor, steps):
    one = steps[-1]
    nearly = replace(one.outcome.rul_cycles, q50=one.outcome.rul_cycles.q50 + 1e-9)
    assert replay(predictor, one.outcome.input, one.flags, nearly).agreement == "different"
    assert replay(predictor, one.outcome.input, {"T30": ["missing"]}, one.outcome.rul_cycles).agreement == "different"


def test_what_this_model_cannot_have_made_says_why(predictor, steps):
    one = steps[-1]
    with pytest.raises(ReplayError, match="input tensor has 3 bytes"):
        replay(predictor, b"abc", one.flags, one.outcome.rul_cycles)
    many = {name: ["missing"] for name in ("T24", "T30", "T50", "P30", "Nf")}
    with pytest.raises(ReplayError, match="5 of 16 channels are unusable"):
        replay(predictor, one.outcome.input, many, one.outcome.rul_cycles)
