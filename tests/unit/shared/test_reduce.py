"""Samples of a cycle become one value per channel, the same one by one and over arrays."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.reduce import (
    MEDIAN_SAMPLES,
    SPIKE_SDS,
    ChannelReduction,
    ChannelRule,
    Limits,
    channel_rules,
    reduce_cycles,
)

REDUCERS = ("median", "mean", "last", "min", "max")


def rule(reducer="mean", **limits):
    return ChannelRule("T24", reducer, 0.0, 100.0, **limits)


def one_by_one(rule, at_s, values):
    reduction = ChannelReduction(rule)
    for sample in zip(at_s, values, strict=True):
        reduction.take(*sample)
    return reduction.result()


def both(rule, values, at_s=None):
    """The value and flags of one cycle, reduced in both ways."""
    at_s = list(range(len(values))) if at_s is None else at_s
    value, flags = one_by_one(rule, at_s, values)
    cycle = np.ones(len(values), np.int64)
    arrays = reduce_cycles([rule], np.array(at_s, float), cycle, np.array(values, float)[:, None])
    np.testing.assert_array_equal(arrays.values, [[value]])
    assert arrays.flags == [{"T24": flags} if flags else {}]
    return value, flags


@pytest.mark.parametrize(
    ("reducer", "value"), [("median", 2.5), ("mean", 4.0), ("last", 10.0), ("min", 1.0), ("max", 10.0)]
)
def test_a_channel_is_reduced_as_its_rule_says(reducer, value):
    assert both(rule(reducer), [2.0, 1.0, 3.0, 10.0]) == (value, [])


@pytest.mark.parametrize("reducer", REDUCERS)
def test_bad_samples_are_left_out_and_told(reducer):
    value, flags = both(rule(reducer, spike=20), [5.0, math.nan, 5.0, 101.0, 5.0, -1.0, 60.0, 5.0, 5.0, 5.0])
    assert (value, flags) == (5.0, ["some_missing", "some_out_of_range", "spike"])


def test_more_than_half_bad_makes_the_channel_missing_and_half_does_not():
    assert both(rule(), [math.nan, 1.0]) == (1.0, ["some_missing"])
    value, flags = both(rule(), [math.nan, 1.0, math.nan])
    assert math.isnan(value)
    assert flags == ["some_missing"]


def test_a_spike_stands_above_or_below_both_neighbours_and_a_step_is_none():
    assert both(rule("max", spike=10), [50, 65, 50, 50])[1] == ["spike"]
    assert both(rule("min", spike=10), [50, 35, 50, 50])[0] == 50
    assert both(rule("max", spike=10), [50, 65, 65, 50]) == (65, [])
    assert both(rule("max", spike=10), [50, 60, 50]) == (60, [])
    assert both(rule("max", spike=10), [65, 50, 50, 65]) == (65, [])  # the first and last have one neighbour alone


def test_a_change_that_is_too_fast_is_bad_once_and_time_that_stands_still_judges_nothing():
    assert both(rule("last", rate_per_s=2), [50, 53, 53, 54]) == (54, ["rate"])
    assert both(rule("mean", rate_per_s=2), [50, 52, 54]) == (52, [])
    assert both(rule("last", rate_per_s=2), [50, 60, 10], at_s=[5, 5, 4]) == (10, [])


def test_a_sensor_that_stands_still_is_stuck_from_so_many_equal_samples_on():
    assert both(rule("mean", stuck_samples=3), [1, 7, 7, 7, 7, 3, 2]) == ((1 + 7 + 7 + 3 + 2) / 5, ["some_stuck"])
    assert both(rule("mean", stuck_samples=3), [7, 7, 1, 7, 7])[1] == []


@pytest.mark.parametrize("count", [MEDIAN_SAMPLES, MEDIAN_SAMPLES + 1, 4 * MEDIAN_SAMPLES + 1])
def test_a_median_of_very_many_samples_is_that_of_every_so_many(count):
    values = np.random.default_rng(0).uniform(0, 100, count)
    stride = {MEDIAN_SAMPLES: 1, MEDIAN_SAMPLES + 1: 2, 4 * MEDIAN_SAMPLES + 1: 8}[count]
    assert both(rule("median"), values.tolist())[0] == np.median(values[::stride])


def test_the_memory_of_a_reduction_is_bounded():
    reduction = ChannelReduction(rule("median"))
    sizes = set()
    for count in range(20 * MEDIAN_SAMPLES):
        reduction.take(count, count % 100)
        sizes.add(len(reduction._good._kept))
    assert max(sizes) == MEDIAN_SAMPLES


value = st.one_of(
    st.sampled_from([math.nan, -1.0, 101.0, math.inf, 5.0, 6.0]), st.floats(0, 100, allow_nan=False, width=32)
)


@settings(max_examples=300, deadline=None)
@given(
    values=st.lists(st.tuples(st.integers(0, 4), value), max_size=60),
    reducer=st.sampled_from(REDUCERS),
    spike=st.sampled_from([math.inf, 1.0, 20.0]),
    rate_per_s=st.sampled_from([math.inf, 0.5, 10.0]),
    stuck_samples=st.integers(0, 3),
)
def test_one_by_one_and_over_arrays_give_the_same_bits(values, reducer, spike, rate_per_s, stuck_samples):
    at_s = np.cumsum([step for step, _ in values]).tolist()
    limits = {"spike": spike, "rate_per_s": rate_per_s, "stuck_samples": stuck_samples}
    if values:
        both(rule(reducer, **limits), [one for _, one in values], at_s)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), reducer=st.sampled_from(REDUCERS))
def test_long_cycles_give_the_same_bits_too(seed, reducer):
    random = np.random.default_rng(seed)
    values = random.normal(50, 5, random.integers(1, 4 * MEDIAN_SAMPLES))
    both(rule(reducer, spike=12), values.tolist())


def test_cycles_are_reduced_each_for_itself():
    values = np.array([[1.0, 9.0], [3.0, 9.0], [50.0, np.nan]])
    rules = [rule()._replace(name="a"), rule()._replace(name="b")]
    reduced = reduce_cycles(rules, np.arange(3.0), np.array([7, 7, 8]), values)
    assert reduced.cycles.tolist() == [7, 8]
    np.testing.assert_array_equal(reduced.values, [[2.0, 9.0], [50.0, np.nan]])
    assert reduced.flags == [{}, {"b": ["some_missing"]}]
    assert reduce_cycles(rules, np.empty(0), np.empty(0, np.int64), np.empty((0, 2))).values.shape == (0, 2)


def test_rules_come_from_the_manifest_and_limits_that_are_given_take_their_place(manifest):
    by_name = {one.name: one for one in channel_rules(manifest, {"T30": Limits(rate_per_s=4.0, spike=3.0)})}
    sd = max(regime.sd[manifest.features.channels.index("T24")] for regime in manifest.features.regimes)
    assert by_name["T24"] == ChannelRule("T24", "median", 630.0, 650.0, spike=SPIKE_SDS * sd)
    assert by_name["altitude"].spike == math.inf
    assert (by_name["T30"].spike, by_name["T30"].rate_per_s, by_name["T30"].stuck_samples) == (3.0, 4.0, 0)
