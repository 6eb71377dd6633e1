import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.training.calibration import NO_OFFSETS, fit_offsets
from shared.manifest import Calibration
from shared.messages import RulCycles
from shared.predictor import calibrate

CYCLES = st.floats(-50, 200)


def prediction(q50, width=2.0):
    return RulCycles(mean=q50, q05=q50 - width, q50=q50, q95=q50 + width)


def sample(seed, count=6000):
    """Predictions that are 4 cycles late, in an interval far too narrow, with errors that grow with the RUL."""
    generator = np.random.default_rng(seed)
    truth = generator.uniform(0, 150, count)
    medians = truth + 4 + generator.normal(0, 2 + truth / 10)
    return [prediction(median) for median in medians.tolist()], truth


def test_offsets_give_each_quantile_its_share_of_new_engines_at_every_level_and_the_mean_no_bias():
    calibration = fit_offsets(*sample(0))
    predictions, truth = sample(1)
    calibrated = [calibrate(calibration, one) for one in predictions]
    level = np.digitize([one.q50 for one in calibrated], [20, 50, 80, 110])
    for head, share in {"q05": 0.05, "q50": 0.5, "q95": 0.95}.items():
        below = truth <= [getattr(one, head) for one in calibrated]
        assert [below[level == number].mean() for number in range(5)] == pytest.approx([share] * 5, abs=0.06)
    assert np.mean([one.mean for one in calibrated] - truth) == pytest.approx(0, abs=0.5)


def test_a_bound_misses_no_more_held_out_labels_than_allowed_with_one_more_engine_to_come():
    label = np.repeat(np.arange(0, 150, 25.0), 19) + np.tile(np.arange(19.0), 6)
    calibration = fit_offsets([prediction(node) for node in np.repeat(np.arange(0, 150, 25.0), 19)], label)
    # With 19 labels at a node only their largest leaves 5 % of 20.
    assert calibration.q95 == [16.0] * 6


def test_offsets_are_linear_between_nodes_and_constant_beyond():
    rising = Calibration(nodes=[0.0, 50.0], mean=[1.0, 2.0], q05=[-5.0, -10.0], q50=[0.0, -4.0], q95=[5.0, 10.0])
    assert calibrate(rising, prediction(25.0)) == RulCycles(mean=26.5, q05=15.5, q50=23.0, q95=34.5)
    assert calibrate(rising, prediction(-9.0)) == RulCycles(mean=-8.0, q05=-16.0, q50=-9.0, q95=-2.0)
    assert calibrate(rising, prediction(90.0)) == RulCycles(mean=92.0, q05=78.0, q50=86.0, q95=102.0)


@given(CYCLES, CYCLES, CYCLES)
def test_quantiles_come_out_in_order_and_the_median_as_it_is(q05, q50, q95):
    ordered = calibrate(NO_OFFSETS, RulCycles(mean=10.0, q05=q05, q50=q50, q95=q95))
    assert ordered == RulCycles(mean=10.0, q05=min(q05, q50), q50=q50, q95=max(q95, q50))
