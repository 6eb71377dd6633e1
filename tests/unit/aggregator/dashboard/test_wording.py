"""How numbers read on the pages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.dashboard import wording
from aggregator.fleet.bands import Band, band_of
from aggregator.fleet.rul import Rul
from aggregator.fleet.summary import Average


def rul(q05, q50, q95):
    return Rul(mean=q50, q05=q05, q50=q50, q95=q95, cap=125.0)


@pytest.mark.parametrize(
    ("quantiles", "median", "interval"),
    [
        ((61.2, 87.9, 118.0), "87", "(61–118)"),
        ((0.4, 7.0, 15.9), "7", "(0–15)"),
        ((98.0, 110.0, 125.0), "110", "(98 to ≥ 125)"),
        ((98.0, 125.0, 131.0), "≥ 125", "(98 to ≥ 125)"),
        ((126.0, 127.0, 131.0), "≥ 125", ""),
    ],
)
def test_p7_a_distribution_reads_as_median_and_interval_and_at_the_cap_as_at_least(quantiles, median, interval):
    assert wording.median(rul(*quantiles)) == median
    assert wording.interval(rul(*quantiles)) == interval


@given(st.floats(min_value=0, max_value=124.9))
def test_the_number_shown_is_of_the_same_band_as_the_number_meant(q50):
    shown = float(wording.median(rul(0.0, q50, 125.0)))
    assert band_of(rul(0.0, shown, 125.0)) is band_of(rul(0.0, q50, 125.0))


@given(st.floats(min_value=125, max_value=400))
def test_p7_a_median_at_the_cap_never_reads_as_a_plain_number(q50):
    assert wording.median(rul(0.0, q50, q50)) == "≥ 125"
    assert band_of(rul(0.0, q50, q50)) is Band.HEALTHY


@pytest.mark.parametrize(
    ("average", "text"), [(None, "–"), (Average(70.9, at_cap=False), "70"), (Average(112.5, at_cap=True), "≥ 112")]
)
def test_an_average_reads_as_a_number_or_as_at_least_one(average, text):
    assert wording.average(average) == text
