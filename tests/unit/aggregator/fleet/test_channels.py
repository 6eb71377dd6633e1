"""Statistics per channel."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.fleet.channels import ChannelStatistics, statistics_of


def test_each_channel_is_described_over_the_rows_that_have_it() -> None:
    described = statistics_of([{"T2": 3.0, "T24": None}, {"T2": 1.0, "T24": 7.0}])
    assert described == {
        "T2": ChannelStatistics(count=2, mean=2.0, min=1.0, max=3.0, std=pytest.approx(2**0.5)),
        "T24": ChannelStatistics(count=1, mean=7.0, min=7.0, max=7.0, std=None),
    }


def test_no_rows_have_no_statistics() -> None:
    assert statistics_of([]) == {}


@given(st.lists(st.none() | st.floats(min_value=-1e6, max_value=1e6), max_size=20))
def test_the_mean_lies_between_the_extremes(values: list[float | None]) -> None:
    present = [value for value in values if value is not None]
    described = statistics_of([{"Nf": value} for value in values])
    if not present:
        assert described == {}
    else:
        assert described["Nf"].count == len(present)
        assert described["Nf"].min - 1e-6 <= described["Nf"].mean <= described["Nf"].max + 1e-6
