import math

import numpy as np
import pytest

from shared.errors import RowError
from shared.quality import Repeats, row_flags, unusable, with_told


def test_a_good_row_has_no_flags(manifest, row):
    assert row_flags(manifest, row(cycle=8), last_cycle=7) == {}


def test_nan_and_absent_channels_are_missing(manifest, row):
    incomplete = row(T30=math.nan)
    del incomplete.channels["P30"]
    assert row_flags(manifest, incomplete, None) == {"T30": ["missing"], "P30": ["missing"]}


@pytest.mark.parametrize("value", [629.9, 650.1, math.inf, -math.inf])
def test_values_outside_the_valid_range_are_flagged(manifest, row, value):
    assert row_flags(manifest, row(T24=value), None) == {"T24": ["out_of_range"]}


def test_a_skipped_cycle_is_flagged_and_a_late_first_row_is_not(manifest, row):
    assert row_flags(manifest, row(cycle=9), last_cycle=7) == {"cycle": ["cycle_gap"]}
    assert row_flags(manifest, row(cycle=9), last_cycle=None) == {}


@pytest.mark.parametrize(("cycle", "last_cycle"), [(7, 7), (6, 7), (0, None), (-1, None)])
def test_a_cycle_that_does_not_follow_is_refused(manifest, row, cycle, last_cycle):
    with pytest.raises(RowError, match=rf"engine E1: cycle {cycle} cannot follow"):
        row_flags(manifest, row(cycle=cycle), last_cycle)


@pytest.mark.parametrize("cycle", [2**31, 10**23, pytest.param(10**5000, id="5001 digits")])
@pytest.mark.parametrize("last_cycle", [None, 7])
def test_a_cycle_beyond_what_messages_carry_is_refused(manifest, row, cycle, last_cycle):
    with pytest.raises(RowError, match="engine E1: the cycle is above 2147483647"):
        row_flags(manifest, row(cycle=cycle), last_cycle)


@pytest.mark.parametrize("names", [["vibration"], [f"channel {number}" for number in range(2000)]])
def test_unknown_channels_are_flagged_as_one_even_where_another_is_absent(manifest, row, names):
    strange = row(**dict.fromkeys(names, 1.0))
    del strange.channels["P30"]
    assert row_flags(manifest, strange, None) == {"P30": ["missing"], "channels": ["unknown"]}


@pytest.mark.parametrize(("altitude", "flags"), [(1.0, {}), (1.1, {"altitude": ["unknown_regime"]}), (19.0, {})])
def test_a_setting_far_from_every_regime_is_flagged(manifest, row, altitude, flags):
    assert row_flags(manifest, row(altitude=altitude), None) == flags


def test_a_setting_that_is_missing_or_out_of_range_is_flagged_as_that(manifest, row):
    assert row_flags(manifest, row(altitude=math.nan), None) == {"altitude": ["missing"]}
    assert row_flags(manifest, row(altitude=44.0), None) == {"altitude": ["out_of_range"]}


def test_repeats_count_equal_values_in_a_row_and_survive_being_stored():
    repeats = Repeats(3)
    for values in ([1.0, 5.0, np.nan], [2.0, 5.0, np.nan], [2.0, 5.0, 7.0]):
        repeats = Repeats.from_bytes(repeats.to_bytes())
        repeats.take(values)
    assert repeats.rows == [2, 3, 1]
    assert len(repeats.to_bytes()) == Repeats.stored_bytes(3)


def test_a_missing_value_between_equal_ones_neither_counts_nor_ends_the_count():
    repeats = Repeats(2)
    for values in ([5.0, 5.0], [5.0, np.nan], [np.nan, np.nan], [5.0, 6.0]):
        repeats.take(values)
    assert repeats.rows == [3, 1]


def test_what_is_merely_told_makes_no_channel_unusable():
    flags = {"T24": ["spike", "rate"], "T30": ["missing", "spike"], "P30": ["stuck"], "cycle": ["late", "clock"]}
    assert unusable(flags, {"T24", "T30", "P30"}) == ["P30", "T30"]


def test_told_flags_stand_behind_the_others_and_change_neither():
    flags, told = {"T30": ["missing"]}, {"T30": ["some_missing"], "cycle": ["partial"]}
    assert with_told(flags, told) == {"T30": ["missing", "some_missing"], "cycle": ["partial"]}
    assert (flags, told) == ({"T30": ["missing"]}, {"T30": ["some_missing"], "cycle": ["partial"]})
