"""Health bands: every boundary, and that there is exactly one band for every prediction."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.fleet.bands import Band, Thresholds, band_of, limits_of


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
    assert band_of(cycles) is band


def test_thresholds_can_be_others() -> None:
    assert band_of(60, Thresholds(critical_below_cycles=30, warning_below_cycles=90)) is Band.WARNING


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_prediction_lies_within_the_limits_of_its_band_and_of_no_other(cycles: float) -> None:
    inside = [
        band
        for band in (Band.CRITICAL, Band.WARNING, Band.HEALTHY)
        if limits_of(band)[0] <= cycles < limits_of(band)[1]
    ]
    assert inside == [band_of(cycles)]
