"""Health bands: every boundary, and that there is exactly one band for every prediction."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.fleet.bands import Band, Quantile, Thresholds, band_of, limits_of
from aggregator.fleet.rul import Rul


def rul(q50: float) -> Rul:
    return Rul(mean=q50, q05=q50 - 15, q50=q50, q95=q50 + 15, cap=125)


@pytest.mark.parametrize(
    ("cycles", "band"),
    [
        (-3.0, Band.CRITICAL),
        (0.0, Band.CRITICAL),
        (19.999, Band.CRITICAL),
        (20.0, Band.WARNING),
        (49.999, Band.WARNING),
        (50.0, Band.HEALTHY),
        (180.0, Band.HEALTHY),
        (None, Band.UNKNOWN),
    ],
)
def test_band_begins_at_its_lower_threshold(cycles: float | None, band: Band) -> None:
    assert band_of(None if cycles is None else rul(cycles)) is band


def test_thresholds_can_be_others() -> None:
    assert band_of(rul(60), Thresholds(critical_below_cycles=30, warning_below_cycles=90)) is Band.WARNING


@pytest.mark.parametrize(("quantile", "band"), [("q05", Band.CRITICAL), ("q50", Band.WARNING), ("q95", Band.HEALTHY)])
def test_the_quantile_that_is_compared_can_be_another(quantile: Quantile, band: Band) -> None:
    assert band_of(rul(34), Thresholds(quantile=quantile, warning_below_cycles=49)) is band


@given(st.floats(min_value=-1e6, max_value=1e6))
def test_a_prediction_lies_within_the_limits_of_its_band_and_of_no_other(cycles: float) -> None:
    inside = [
        band
        for band in (Band.CRITICAL, Band.WARNING, Band.HEALTHY)
        if limits_of(band)[0] <= cycles < limits_of(band)[1]
    ]
    assert inside == [band_of(rul(cycles))]
