"""The fleet in a few numbers."""

from statistics import mean, quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.fleet.bands import Band, band_of
from aggregator.fleet.liveness import LinkState
from aggregator.fleet.rul import Rul
from aggregator.fleet.summary import PERCENTILES, Average, summarise


def rul(q50: float) -> Rul:
    return Rul(mean=q50, q05=q50 - 10, q50=q50, q95=q50 + 10, cap=125)


def engine(q50: float | None, link: LinkState = LinkState.ONLINE) -> tuple[Band, LinkState, Rul | None]:
    life = None if q50 is None else rul(q50)
    return band_of(life), link, life


def test_an_empty_fleet_has_no_averages() -> None:
    summary = summarise([])
    assert (summary.total, summary.mean, summary.median) == (0, None, None)


def test_engines_without_a_prediction_count_as_unknown_and_not_in_the_averages() -> None:
    summary = summarise([engine(None), engine(10), engine(30)])
    assert summary.bands == {Band.UNKNOWN: 1, Band.CRITICAL: 1, Band.WARNING: 1}
    assert summary.mean == Average(20, at_cap=False)


def test_offline_is_counted_beside_the_band() -> None:
    summary = summarise([engine(10, LinkState.OFFLINE), engine(10)])
    assert summary.bands[Band.CRITICAL] == 2
    assert summary.links == {LinkState.OFFLINE: 1, LinkState.ONLINE: 1}


def test_p7_one_engine_at_the_cap_makes_the_mean_a_lower_bound_but_not_the_median() -> None:
    summary = summarise([engine(10), engine(20), engine(125)])
    assert summary.median == Average(20, at_cap=False)
    assert summary.mean is not None
    assert summary.mean.at_cap


def test_p7_a_median_that_rests_on_an_engine_at_the_cap_is_a_lower_bound() -> None:
    assert summarise([engine(100), engine(126)]).median == Average(112.5, at_cap=True)


@given(st.lists(st.none() | st.floats(min_value=0, max_value=200), max_size=30))
def test_counts_add_up_and_averages_are_those_of_the_medians_clipped_at_the_cap(medians: list[float | None]) -> None:
    summary = summarise(engine(q50) for q50 in medians)
    known = [q50 for q50 in medians if q50 is not None]
    assert summary.bands.total() == summary.links.total() == summary.total == len(medians)
    if known:
        assert summary.mean is not None
        clipped = [min(q50, 125.0) for q50 in known]
        assert summary.mean.cycles == pytest.approx(mean(clipped))
        hundredths = quantiles(clipped * 2 if len(clipped) == 1 else clipped, n=100, method="inclusive")
        assert [summary.percentiles[percent].cycles for percent in PERCENTILES] == [
            pytest.approx(hundredths[percent - 1]) for percent in PERCENTILES
        ]
