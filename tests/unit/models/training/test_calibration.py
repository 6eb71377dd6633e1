import numpy as np
import pytest

from models.training.calibration import NODES, fit_calibration, fit_sides
from shared.errors import SpoolwatchError
from shared.interval import calibrate
from shared.manifest import Sides
from shared.messages import RulCycles


def prediction(q50, width=2.0):
    return RulCycles(mean=q50, q05=q50 - width, q50=q50, q95=q50 + width)


def sample(seed, count=6000):
    """Predictions that are 4 cycles late, in an interval far too narrow, with errors that grow with the RUL."""
    generator = np.random.default_rng(seed)
    truth = generator.uniform(0, 150, count)
    medians = truth + 4 + generator.normal(0, 2 + truth / 10)
    return [prediction(median) for median in medians.tolist()], truth


def test_calibration_gives_each_quantile_its_share_of_new_engines_at_every_level_and_the_mean_no_bias():
    calibration = fit_calibration(*sample(0))
    predictions, truth = sample(1)
    calibrated = [calibrate(calibration, one) for one in predictions]
    level = np.digitize([one.q50 for one in calibrated], [20, 50, 80, 110])
    for head, share in {"q05": 0.05, "q50": 0.5, "q95": 0.95}.items():
        below = truth <= [getattr(one, head) for one in calibrated]
        assert [below[level == number].mean() for number in range(5)] == pytest.approx([share] * 5, abs=0.06)
    assert np.mean([one.mean for one in calibrated] - truth) == pytest.approx(0, abs=0.5)


def test_a_level_without_predictions_is_named():
    with pytest.raises(
        SpoolwatchError, match=r"no held-out prediction is near 50 cycles, .*: the model is trained too"
    ):
        fit_calibration([prediction(node) for node in NODES if node != 50], np.zeros(len(NODES) - 1))


def test_a_bound_misses_no_more_held_out_labels_than_allowed_with_one_more_engine_to_come():
    nodes = np.array(NODES)
    label = np.repeat(nodes, 19) + np.tile(np.arange(19.0), len(nodes))
    calibration = fit_calibration([prediction(node) for node in np.repeat(nodes, 19)], label)
    # The median label lies 9 above the predicted one; with 19 labels at a node only their largest, 9 above that, leaves
    # 5 % of 20, and the network says 2.
    assert calibration.median == [9.0] * len(nodes)
    assert calibration.above == calibration.below == [4.5] * len(nodes)


def test_sides_reach_so_far_that_no_more_labels_are_missed_than_allowed_and_never_inwards():
    label = np.arange(19.0)
    # The labels lie up to 18 above the median, so 16 above q95; none is below q05.
    assert fit_sides([prediction(0.0)] * 19, label) == Sides(below=0.0, above=16.0)
    assert fit_sides([prediction(18.0)] * 19, label) == Sides(below=16.0, above=0.0)
    assert fit_sides([prediction(9.0, width=100.0)] * 19, label) == Sides(below=0.0, above=0.0)
