"""The distribution of lives over arrays: what a drawn life does, what two ways to look at it agree on."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.fleet.due import between
from aggregator.fleet.survival import odds

quantiles = st.lists(st.floats(-20, 160), min_size=3, max_size=3).map(sorted)
caps = st.sampled_from([60.0, 125.0])
shares = st.floats(0, 0.99)


def one(of, cap, used, *until):
    q05, q50, q95 = (np.array([value]) for value in of)
    fails, wasted = odds((q05, q50, q95), np.array([cap]), np.array([used]), np.array([until]))
    return fails[0].tolist(), wasted[0].tolist()


@settings(deadline=None)
@given(quantiles, caps, shares, st.lists(st.floats(0, 300), min_size=2, max_size=8))
def test_the_longer_an_engine_is_left_on_the_likelier_it_has_failed_and_the_less_it_has_left(of, cap, share, more):
    used = share * cap
    fails, wasted = one(of, cap, used, *(used + cycles for cycles in sorted([0.0, *more])))
    assert fails[0] == 0
    assert all(0 <= sooner <= later + 1e-9 for sooner, later in pairwise(fails))
    assert max(fails) <= 1
    assert all(sooner >= later - 1e-6 >= -1e-6 for sooner, later in pairwise(wasted))
    assert wasted[0] <= cap - used + 1e-6


@settings(deadline=None)
@given(quantiles, caps, shares, st.floats(0, 200))
def test_what_is_wasted_is_the_area_below_the_curve_of_those_that_last(of, cap, share, more):
    used = share * cap
    at = np.linspace(used + more, max(cap, used + more), 2001)
    fails, wasted = one(of, cap, used, *at)
    lasts = 1 - np.array(fails)
    area = ((lasts[1:] + lasts[:-1]) / 2 * np.diff(at)).sum()
    assert wasted[0] == pytest.approx(area, abs=0.05 + (at[1] - at[0]))


@settings(deadline=None)
@given(st.lists(st.floats(5, 110), min_size=3, max_size=3, unique=True).map(sorted), st.floats(0.05, 0.95))
def test_below_the_cap_it_says_what_due_dates_say(of, confidence):
    if min(np.diff(of)) < 0.1:
        return
    cycles = between(*of, confidence)
    (fails,), _ = one(of, 125.0, -1e9, cycles)
    assert fails == pytest.approx(1 - confidence, abs=1e-6)


def test_in_the_tail_nothing_is_lost_to_rounding():
    fails, wasted = one((-20.0, 0.001, 1.0), 60.0, 30.0, 30.0, 30.0 + 1e-6, 30.1)
    assert fails == pytest.approx([0, 1e-6 / 0.25674, 0.32260], rel=1e-3)
    assert wasted[0] >= wasted[1] >= wasted[2]


@pytest.mark.parametrize(
    ("of", "fails"),
    [((110, 125, 126), 0.05), ((90, 115, 126), 0.5), ((60, 80, 100), 1.0), ((126, 127, 128), 0.0)],
)
def test_beyond_the_last_quantile_below_the_cap_nobody_is_taken_to_fail(of, fails):
    (nearly, later), _ = one(of, 125.0, 0.0, 124.9, 400.0)
    assert nearly == pytest.approx(fails, abs=0.01)
    assert later == pytest.approx(nearly, abs=0.001)


@settings(deadline=None)
@given(st.floats(0, 120), st.floats(0.1, 30))
def test_one_that_has_outlived_all_expectation_is_as_likely_to_fail_as_one_that_has_nearly(used, more):
    """The tail remembers nothing, however far it is behind; without that the odds would be 0 divided by 0."""
    of = (-40.0, -38.0, -36.0)
    (far,), _ = one(of, 1000.0, used, used + more)
    (near,), _ = one(of, 1000.0, -36.0, -36.0 + more)
    assert far == pytest.approx(near, abs=1e-5)


def test_what_was_lasted_counts():
    (new,), _ = one((30, 50, 80), 125.0, 0.0, 40.0)
    (old,), _ = one((30, 50, 80), 125.0, 38.0, 40.0)
    assert (new, old) == (pytest.approx(0.275, abs=0.001), pytest.approx(0.045 / 0.77, abs=0.001))
