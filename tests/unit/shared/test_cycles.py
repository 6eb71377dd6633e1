"""Samples of one engine fall into cycles, whatever the hardware's counter, flag and clock do."""

import math
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.cycles import LATE_IN_A_ROW, Begun, CycleRule, EngineCycles, Place
from shared.reduce import ChannelRule
from shared.rows import Sample

START = datetime(2026, 1, 2, tzinfo=UTC)
CHANNELS = [ChannelRule("T24", "mean", -1e6, 1e6), ChannelRule("T30", "last", -1e6, 1e6)]
KNOWN = Place(cycle=1)


class Engine:
    """One engine's cycles; samples are numbered from 1 as they come."""

    def __init__(self, rule=None, place=KNOWN, **options):
        self.cycles = EngineCycles("E-1", rule or CycleRule(), CHANNELS, place, **options)
        self.samples = 0
        self.rows = []

    def take(self, at_s, cycle=None, **channels):
        self.samples += 1
        sample = Sample("E-1", START + timedelta(seconds=at_s), channels or {"T24": float(at_s)}, cycle)
        rows = self.cycles.take(self.samples, sample)
        self.rows += rows
        return rows

    def close(self):
        rows = self.cycles.close()
        self.rows += rows
        return rows

    def told(self):
        """Cycle, T24 and the row's own flags of every row so far."""
        return [(row.cycle, row.channels.get("T24"), (row.flags or {}).get("cycle", [])) for row in self.rows]


def at(row):
    return (row.observed_at - START).total_seconds()


def test_a_counter_that_counts_on_ends_the_cycle_before():
    engine = Engine()
    for at_s, cycle in [(0, 2), (1, 2), (10, 3), (11, 3)]:
        engine.take(at_s, cycle)
    [row] = engine.rows
    assert (row.engine, row.cycle, row.channels, at(row), row.flags) == ("E-1", 2, {"T24": 0.5}, 1, {})
    end = START + timedelta(seconds=1)
    assert engine.cycles.place == Place(3, 2, end, Begun(3, START + timedelta(seconds=10), {"T24": 10.0}))
    engine.close()
    assert engine.told()[1:] == [(3, 10.5, [])]
    assert engine.cycles.place.sample_id == 4


def test_the_counter_may_be_a_channel_and_is_no_value_of_the_row():
    engine = Engine(CycleRule(channel="count"))
    engine.take(0, count=2.0, T24=1.0)
    engine.take(1, T24=3.0)
    engine.take(2, count=3.0)
    [row] = engine.close()[:1] if not engine.rows else engine.rows[:1]
    assert (row.cycle, row.channels) == (2, {"T24": 2.0})


@pytest.mark.parametrize("wrong", [2.5, -1.0, 1e300, math.inf])
def test_a_counter_that_no_counter_can_read_is_told(wrong):
    engine = Engine(CycleRule(channel="count"))
    engine.take(0, count=2.0, T24=1.0)
    engine.take(1, count=wrong, T24=3.0)
    engine.close()
    assert engine.told() == [(2, 2.0, ["counter"])]


def test_the_first_cycle_whose_beginning_nobody_saw_is_partial():
    engine = Engine(place=Place())
    engine.take(0, 41)
    engine.take(1, 42)
    engine.close()
    assert engine.told() == [(41, 0, ["partial"]), (42, 1, [])]
    lost = Engine(lost=True)
    lost.take(0, 2)
    lost.close()
    assert lost.told() == [(2, 0, ["partial"])]


def test_one_wrong_reading_of_the_counter_ends_nothing():
    engine = Engine()
    for at_s, cycle in enumerate([2, 2, 9999, 2, 0, 2]):
        engine.take(at_s, cycle)
    engine.close()
    assert engine.told() == [(2, 2.5, ["counter"])]


def test_a_reading_of_the_cycle_before_ends_nothing():
    engine = Engine()
    for at_s, cycle in enumerate([2, 3, 3, 2, 3, 1, 2, 3]):
        engine.take(at_s, cycle)
    engine.close()
    assert [cycle for cycle, *_ in engine.told()] == [2, 3]


def test_a_counter_that_leaps_or_falls_back_is_believed_the_second_time():
    engine = Engine()
    for at_s, cycle in enumerate([2, 7, 7, 1, 1, 2]):
        engine.take(at_s, cycle)
    engine.close()
    assert engine.told() == [(2, 0, []), (7, 1.5, []), (1, 3.5, []), (2, 5, [])]


def test_a_counter_that_wraps_counts_on():
    engine = Engine(CycleRule(wraps_at=256), Place(cycle=254))
    for at_s, cycle in enumerate([255, 0, 1, 1]):
        engine.take(at_s, cycle)
    engine.close()
    assert engine.told() == [(255, 0, []), (256, 1, []), (257, 2.5, [])]


def test_late_samples_of_a_closed_cycle_are_left_out_and_told_with_the_next_row():
    engine = Engine()
    engine.take(0, 2)
    engine.take(2, 2)
    engine.take(10, 3)
    engine.take(1, 2, T24=999.0)
    engine.take(11, 3)
    engine.close()
    assert [row.channels["T24"] for row in engine.rows] == [1.0, 10.5]
    assert engine.rows[1].flags == {"T24": ["late"]}


def test_what_comes_after_a_row_was_given_out_for_quiet_is_late():
    engine = Engine()
    engine.take(0, 2)
    assert [row.cycle for row in engine.close()] == [2]
    assert engine.cycles.is_idle
    for at_s in range(1, LATE_IN_A_ROW + 5):
        engine.take(at_s, 2)
    engine.take(5000, 3)
    engine.close()
    assert [(row.cycle, row.flags) for row in engine.rows[1:]] == [(3, {"T24": ["late"]})]


def test_repeated_samples_count_once():
    engine = Engine()
    for at_s in (0, 0, 4, 0, 4, 8, 8):
        engine.take(at_s, 2)
    engine.close()
    assert engine.told() == [(2, 4, [])]


def test_what_comes_again_of_a_closed_cycle_is_a_repeat_and_not_late():
    engine = Engine()
    for at_s, cycle in [(0, 2), (1, 2), (10, 3), (0, 2), (1, 2), (11, 3)]:
        engine.take(at_s, cycle)
    engine.close()
    assert engine.rows[1].flags == {}
    again = Engine(place=Place(sample_id=0, cycle=2, ended_at=START + timedelta(seconds=1)))
    again.cycles.remember(START)
    for at_s, cycle in [(0, 2), (10, 3), (1, 2)]:
        again.take(at_s, cycle)
    again.close()
    assert again.rows[0].flags == {"T24": ["late"]}


@pytest.mark.parametrize(
    ("rule", "cycle", "channels"),
    [
        (CycleRule(), 9, {}),
        (CycleRule(wraps_at=8), 1, {}),
        (CycleRule(channel="b"), None, {"b": 9.0}),
        (CycleRule(by="flag", channel="b"), None, {"b": 1.0}),
        (CycleRule(by="gap"), 9, {}),
    ],
)
def test_the_first_instant_of_a_cycle_is_known_again_after_a_crash(rule, cycle, channels):
    begun = Begun(9, START, {"T24": 4.0, "T30": None})
    engine = Engine(rule, Place(1, 8, START - timedelta(hours=1), begun))
    engine.take(0, cycle, T24=4.0, T30=math.nan, **channels)
    engine.take(1, cycle, T24=8.0, **channels)
    engine.close()
    assert engine.told() == [(9, 6.0, [])]


def test_channels_that_come_apart_are_joined_into_one_instant():
    engine = Engine(CycleRule(join_s=0.5))
    engine.take(0.0, 2, T24=1.0)
    engine.take(0.2, T30=5.0)
    engine.take(9.8, T30=7.0)  # of the instant whose counter comes with the other channel
    engine.take(10.0, 3, T24=2.0)
    engine.close()
    assert [(row.cycle, row.channels) for row in engine.rows] == [
        (2, {"T24": 1.0, "T30": 5.0}),
        (3, {"T30": 7.0, "T24": 2.0}),
    ]


def test_a_flag_that_falls_gives_the_row_at_once_and_one_wrong_reading_does_nothing():
    engine = Engine(CycleRule(by="flag", channel="flies"))
    for at_s, flies in enumerate([0, 1, 0, 1, 1, math.nan, 0, 1, 0, 0, 0]):
        engine.take(at_s, flies=float(flies), T24=float(at_s))
    assert engine.told() == [(2, 5.0, ["counter"])]
    for at_s in (20, 21):
        engine.take(at_s, flies=1.0, T24=1.0)
    engine.close()
    assert engine.told()[1:] == [(3, 1.0, [])]


def test_an_engine_whose_flag_was_low_before_shows_its_first_cycle_whole():
    engine = Engine(CycleRule(by="flag", channel="flies"), Place())
    for at_s, flies in enumerate([0, 1, 1]):
        engine.take(at_s, flies=float(flies), T24=1.0)
    engine.close()
    assert engine.told() == [(1, 1.0, [])]


def test_a_pause_ends_a_cycle_and_one_wrong_time_does_not():
    engine = Engine(CycleRule(by="gap", gap_s=60))
    for at_s in (0, 10, 100_000, 20, 80, 200, 210):
        engine.take(at_s)
    engine.close()
    assert engine.told() == [(2, 27.5, ["clock"]), (3, 205, [])]


@pytest.mark.parametrize("by", ["counter", "flag", "gap"])
def test_a_clock_that_steps_back_within_a_cycle_is_told_and_costs_no_sample(by):
    engine = Engine(CycleRule(by=by, channel="flies" if by == "flag" else None, gap_s=60))
    for at_s, value in [(0, 1.0), (50, 2.0), (20, 3.0), (21, 4.0), (22, 5.0)]:
        engine.take(at_s, 2, **({"flies": 1.0} if by == "flag" else {}), T24=value)
    engine.close()
    assert engine.told() == [(2, 3.0, ["clock"])]


def test_a_clock_that_leaps_ahead_within_a_cycle_is_told():
    engine = Engine()
    for at_s in (0, 1, 90_001, 90_002):
        engine.take(at_s, 2)
    engine.close()
    assert engine.told()[0][2] == ["clock"]


def test_a_clock_that_stands_still_is_told_and_costs_no_sample_and_no_cycle():
    engine = Engine()
    stands = [(1, 2, 2.0), (1, 2, 6.0), (1, 3, 4.0), (1, 3, 8.0), (1, 3, 8.0)]
    for at_s, cycle, value in [(0, 2, 1.0), *stands, (9, 4, 5.0)]:
        engine.take(at_s, cycle, T24=value)
    engine.close()
    assert engine.told() == [(2, 3.0, ["clock"]), (3, 6.0, ["clock"]), (4, 5.0, [])]


def test_a_clock_that_steps_back_between_two_cycles_is_told_with_the_later_one():
    engine = Engine()
    for at_s, cycle in [(5000, 2), (5001, 2), (10, 3), (11, 3), (5004, 4)]:
        engine.take(at_s, cycle)
    engine.close()
    assert [flags for _, _, flags in engine.told()] == [[], ["clock"], []]


def test_channels_of_one_moment_that_come_apart_are_no_clock_that_stands_still():
    engine = Engine()
    for at_s, channels in [(0, {"T24": 1.0}), (1, {"T30": 1.0}), (1, {"b": 2.0}), (1, {"T24": 3.0})]:
        engine.take(at_s, 2, **channels)
    engine.close()
    assert engine.told() == [(2, 2.0, [])]


@pytest.mark.parametrize("by", ["counter", "gap"])
def test_a_clock_and_counter_that_were_set_back_for_good_are_believed_after_a_while(by):
    engine = Engine(CycleRule(by=by, gap_s=60))
    engine.take(0, 8)
    engine.take(1, 8)
    engine.take(1000, 9)
    engine.take(1001, 9)
    for at_s in range(-9000, -9000 + LATE_IN_A_ROW + 10):
        engine.take(at_s, 3)
    engine.close()
    assert "clock" in engine.told()[-1 if by == "gap" else -2][2]
    assert [cycle for cycle, *_ in engine.told()] == ([8, 9, 3] if by == "counter" else [2, 3])


def test_unknown_channels_are_named_with_the_row_some_of_them():
    engine = Engine()
    engine.take(0, 2, **{f"x{number:03}": 1.0 for number in range(100)})
    [row] = engine.close()
    assert len(row.channels) == 16
    assert all(math.isnan(value) for value in row.channels.values())


def but_for_late(row):
    """Whether something is late or a repeat rests on more than a place."""
    flags = {name: [flag for flag in flags if flag != "late"] for name, flags in row.flags.items()}
    return replace(row, flags={name: left for name, left in flags.items() if left})


RULES = [
    CycleRule(),
    CycleRule(wraps_at=8),
    CycleRule(channel="b"),
    CycleRule(by="flag", channel="b"),
    CycleRule(by="gap", gap_s=5, join_s=0.5),
]


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rule=st.sampled_from(RULES), cut=st.integers(0, 60))
def test_from_the_place_on_the_samples_after_it_give_the_same_rows_again(seed, rule, cut):
    """What a gateway remembers over a crash is the place of its last stored row and its samples."""
    chance = random.Random(seed)
    clock_s, counter, samples = 0.0, 1, []
    for number in range(1, 61):
        clock_s += chance.choice([0, 0.2, 1, 1, 1, 1, 9, -3])
        counter += chance.choice([0, 0, 0, 0, 0, 1, 1, -1])
        channels = {"T24": float(number)} | ({"b": float(counter)} if rule.channel and chance.random() < 0.9 else {})
        if rule.by == "flag" and "b" in channels:
            channels["b"] = float(counter % 3 > 0)
        cycle = max(0, counter % 8) if rule.channel is None else None
        samples.append((number, Sample("E-1", START + timedelta(seconds=clock_s), channels, cycle)))

    def rows_from(place, samples):
        cycles = EngineCycles("E-1", rule, CHANNELS, place)
        places, rows = [], []
        for number, sample in samples:
            for row in cycles.take(number, sample):
                rows.append(row)
                places.append(cycles.place)
        return rows, places, cycles

    rows, places, _ = rows_from(KNOWN, samples)
    before, places_before, cycles = rows_from(KNOWN, samples[:cut])
    place = msgspec.json.decode(msgspec.json.encode(places_before[-1]), type=Place) if places_before else KNOWN
    after, _, _ = rows_from(place, samples[place.sample_id :])
    assert [*map(but_for_late, before), *map(but_for_late, after)] == [*map(but_for_late, rows)]
