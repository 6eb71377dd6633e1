"""The RUL curve."""

from hypothesis import given
from hypothesis import strategies as st

from aggregator.dashboard import rul_chart
from aggregator.fleet.rul import Rul

CURVE = [
    (1, Rul(mean=124, q05=101.26, q50=127.0, q95=133.0, cap=125.0)),
    (2, Rul(mean=80, q05=60.04, q50=81.0, q95=99.0, cap=125.0)),
]


def test_points_carry_the_interval_and_end_at_the_cap():
    assert rul_chart.points(CURVE) == [[1, 101.3, 125.0, 125.0, 23.7, 125.0], [2, 60.0, 81.0, 99.0, 39.0, 125.0]]


@given(st.lists(st.floats(min_value=0, max_value=200), min_size=3, max_size=3).map(sorted))
def test_a_point_is_ordered_and_within_the_axis(quantiles):
    q05, q50, q95 = quantiles
    ((_, low, median, high, width, cap),) = rul_chart.points([(7, Rul(q50, q05, q50, q95, 125.0))])
    assert 0 <= low <= median <= high <= cap == 125.0
    assert width == round(high - low, 1)


def test_the_axis_reaches_the_cap_and_says_at_least_there():
    options = rul_chart.options(rul_chart.points(CURVE))
    assert options["yAxis"]["max"] == 125.0
    assert "≥" in options["yAxis"]["axisLabel"][":formatter"]


def test_the_bands_are_drawn_at_their_thresholds():
    median = rul_chart.options([])["series"][-1]
    zones = [(low["name"], low["yAxis"], high["yAxis"]) for low, high in median["markArea"]["data"]]
    assert zones == [("critical", 0, 20), ("warning", 20, 50)]
