"""Out-of-fold predictions by the released network, in the place of a freshly trained one, of simulated engines."""

import msgspec
import numpy as np
import pytest

from models.reading import Life
from models.stepping import steps
from models.training import recipe
from models.training.faults import CHANNELS_OUT, FAULTS, FLAGS, SHORT
from models.training.folds import CUTS_PER_ENGINE, cut_rows
from models.training.held_out import AGE_UNKNOWN, FLOAT, SHIPPED
from models.training.trial import predict
from shared.bundle import find_bundle, read_bundle
from shared.predictor import Predictor
from shared.quality import LATE_START, RECOVERING, SHORT_HISTORY, SHORT_LATE_START, WINDOW_GAP
from simulators.engine_model import SimulatedEngine

ENGINES = 4


@pytest.fixture(scope="module")
def lives():
    """Engines of one operating condition."""
    return [
        Life(unit, np.array([row.values for row in SimulatedEngine(f"T{unit}", 0, subset="FD001").rows()]))
        for unit in range(1, ENGINES + 1)
    ]


def float_heads(features):
    """A float network that knows the age alone."""
    return np.repeat(features[:, -3:-2], 4, axis=1)


@pytest.fixture(scope="module")
def held_out(lives):
    return predict([("FD001", life) for life in lives], float_heads, read_bundle(find_bundle("turbofan")))


def flags_of(held_out, fault):
    return [msgspec.json.decode(one) for one in held_out.faults[fault].flags.tolist()]


def test_every_engine_is_predicted_at_its_cuts_as_the_agent_would(held_out, lives):
    predictor = Predictor(read_bundle(find_bundle("turbofan")), "tflite-runtime")
    (cut, *_) = cut_rows(lives[1], "FD001", recipe.FOLD_SEED)
    step = steps(predictor, lives[1].cycles[: cut + 1], lives[1].values[: cut + 1])[-1]
    stored = predictor.network.run(np.frombuffer(step.outcome.input, np.int8)).astype(float)
    quantisation = predictor.manifest.output
    expected = (stored - quantisation.zero_point) * quantisation.scale * predictor.manifest.head_scale_cycles
    step_cycles = quantisation.scale * predictor.manifest.head_scale_cycles
    np.testing.assert_allclose(held_out.variants[SHIPPED][CUTS_PER_ENGINE], expected, atol=1.01 * step_cycles)
    assert held_out.truth[CUTS_PER_ENGINE] == lives[1].rul_cycles[cut]
    assert len(held_out.truth) == len(held_out.subset) == ENGINES * CUTS_PER_ENGINE


def test_the_age_is_withheld_from_every_network(held_out):
    assert (held_out.variants[SHIPPED] != held_out.variants[SHIPPED + AGE_UNKNOWN]).any()
    assert np.ptp(held_out.variants[FLOAT]) > 0
    assert (held_out.variants[FLOAT + AGE_UNKNOWN] == 0).all()


def test_each_fault_is_told_by_the_flag_that_its_widening_goes_by(held_out):
    for fault, flag in FLAGS.items():
        found = [any(flag in raised for raised in flags.values()) for flags in flags_of(held_out, fault)]
        assert any(found)
        # Only these may go unseen: a channel not yet found to be stuck or to drift, and one long back.
        assert all(found) or fault in ("a channel stuck", "a channel drifts", "a channel back")
    for count, fault in enumerate(CHANNELS_OUT, start=1):
        assert all(len(flags.keys() - {"cycle"}) >= count for flags in flags_of(held_out, fault))


def test_a_history_that_starts_late_is_either_short_or_not(held_out):
    for fault, others in {
        "starts late": {SHORT_LATE_START, SHORT_HISTORY, WINDOW_GAP, RECOVERING},
        "starts late, short": {LATE_START, SHORT_HISTORY, WINDOW_GAP, RECOVERING},
        SHORT: {LATE_START, SHORT_LATE_START, WINDOW_GAP},
    }.items():
        assert all(others.isdisjoint(flags.get("cycle", [])) for flags in flags_of(held_out, fault))


def test_a_fault_is_held_against_the_same_histories_without_it(held_out):
    for fault in FAULTS:
        truth, with_fault, without_fault, flags = held_out.faults[fault]
        assert len(truth) == len(with_fault) == len(without_fault) == len(flags) > 0
        assert (with_fault != without_fault).any()
    short = held_out.faults[SHORT]
    assert (short.with_fault == short.without_fault).all()
    assert len(short.truth) == ENGINES * (recipe.SHORT_HISTORY_ROWS - 1)
