import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.interval import calibrate, widen
from shared.manifest import Calibration, Sides
from shared.messages import RulCycles

RUL = RulCycles(mean=60.0, q05=40.0, q50=62.0, q95=80.0)


def prediction(median, below=10.0, above=20.0):
    return RulCycles(mean=median, q05=median - below, q50=median, q95=median + above)


@pytest.mark.parametrize(
    ("median", "mean", "q05", "q50", "q95"),
    [
        (25.0, 26.5, 25.25 - 15, 25.25, 25.25 + 20),
        (-9.0, -8.0, -8.5 - 10, -8.5, -8.5 + 10),
        (90.0, 92.0, 90.0 - 20, 90.0, 90.0 + 30),
        (50.0, 52.0, 50.0 - 20, 50.0, 50.0 + 30),
    ],
)
def test_what_is_done_is_taken_at_the_predicted_median_linear_between_nodes_and_constant_beyond(
    manifest, median, mean, q05, q50, q95
):
    found = calibrate(manifest.calibration, prediction(median))
    assert (found.mean, found.q05, found.q50, found.q95) == pytest.approx((mean, q05, q50, q95))


@given(st.floats(-50, 200), st.floats(-30, 100), st.floats(-30, 100))
def test_quantiles_come_out_in_order_and_apart_even_where_the_heads_cross(median, below, above):
    calibration = Calibration(nodes=[0.0, 50.0], mean=[1.0, 2.0], median=[0.5, 0.0], below=[1.0, 2.0], above=[0.5, 1.5])
    found = calibrate(calibration, prediction(median, below, above))
    assert found.q05 < found.q50 < found.q95


@pytest.mark.parametrize(
    ("unusable_channels", "flags", "q05", "q95"),
    [
        (0, {}, 40.0, 80.0),
        (0, {"cycle": ["cycle_gap"], "T24": ["missing"]}, 40.0, 80.0),
        (1, {"T24": ["missing"]}, 36.0, 88.0),
        (0, {"cycle": ["short_history"]}, 39.0, 82.0),
        (1, {"cycle": ["cycle_gap", "short_history", "late_start"], "T24": ["missing"]}, 25.0, 110.0),
        (0, {"cycle": ["short_late_start"]}, 29.0, 102.0),
        (1, {"T24": ["recovering"]}, 36.0, 88.0),
        (1, {"T24": ["stuck"]}, 33.0, 89.0),
        (1, {"T24": ["stuck"], "altitude": ["stuck"]}, 33.0, 89.0),
    ],
)
def test_what_is_wrong_with_the_rows_adds_up_and_leaves_mean_and_median(manifest, unusable_channels, flags, q05, q95):
    widened = widen(manifest.widening, unusable_channels, flags, RUL)
    assert widened == RulCycles(mean=60.0, q05=q05, q50=62.0, q95=q95)


def test_a_short_late_start_with_a_figure_of_its_own_widens_by_that_alone(manifest):
    own = {"short_late_start": Sides(below=5.0, above=6.0)}
    widening = replace(manifest.widening, flags=manifest.widening.flags | own)
    widened = widen(widening, 0, {"cycle": ["short_late_start"]}, RUL)
    assert (widened.q05, widened.q95) == (35.0, 86.0)
