"""Which cycles belong to a life that has ended, and how many were left at each."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.fleet.ended_lives import Boundary, Hung, stretches_of

START = datetime(2026, 1, 1, tzinfo=UTC)


def day(number):
    return START + timedelta(days=number)


def hung(name, number, last_cycle, installation_cycle=None):
    return Hung(name, day(number), installation_cycle, last_cycle)


@pytest.mark.parametrize(
    ("stays", "boundary", "cycle", "expected"),
    [
        pytest.param([hung("a", 0, 90)], None, 80, [("a", 0, 80, 80)], id="one stay; what came after its end is out"),
        pytest.param(
            [hung("a", 0, 90)], Boundary(day(1), True, "a", 30), 80, [("a", 30, 80, 80)], id="overhauled where it hung"
        ),
        pytest.param(
            [hung("a", 0, 90), hung("b", 9, 20)],
            Boundary(day(5), True),
            15,
            [("b", 0, 15, 15)],
            id="overhauled in the shop",
        ),
        pytest.param(
            [hung("a", 0, 90), hung("b", 9, 20)],
            Boundary(day(5), False, "a", 40),
            15,
            [("a", 40, None, 105), ("b", 0, 15, 15)],
            id="failed and mended where it hung, moved later",
        ),
        pytest.param(
            [hung("a", 0, 90, 0), hung("b", 9, 20, 200)],
            None,
            15,
            [("a", 0, None, 215), ("b", 0, 15, 15)],
            id="it flew 110 cycles elsewhere",
        ),
        pytest.param(
            [hung("a", 0, 90, 500), hung("b", 9, 20, 3)],
            None,
            15,
            [("b", 0, 15, 15)],
            id="it came back younger: nobody has told of the end before",
        ),
        pytest.param(
            [hung("a", 0, 90), hung("b", 9, 20, 400)],
            None,
            15,
            [("a", 0, None, 105), ("b", 0, 15, 15)],
            id="of the first stay nobody knows the age",
        ),
        pytest.param(
            [hung("a", 0, 90, 7), hung("b", 9, 20, 60)],
            Boundary(day(2), True, "a", 40),
            15,
            [("a", 40, None, 115), ("b", 0, 15, 15)],
            id="overhauled, flew ten elsewhere",
        ),
        pytest.param([hung("a", 0, 90)], Boundary(day(5), True), 15, [], id="nothing since it was overhauled"),
    ],
)
def test_the_stretches_of_a_life(stays, boundary, cycle, expected):
    assert [tuple(one) for one in stretches_of(stays, boundary, cycle)] == expected


@given(st.lists(st.integers(1, 300), min_size=1, max_size=5), st.data())
def test_what_is_left_falls_by_one_with_each_cycle_to_zero(lengths, data):
    """A life over some stays, each of which counts its cycles from 1, with or without ages entered."""
    ages_are_entered = data.draw(st.booleans())
    flown, stays = 0, []
    for number, length in enumerate(lengths):
        stays.append(hung(str(number), number, length, flown if ages_are_entered else None))
        flown += length
    found = stretches_of(stays, None, lengths[-1])
    left = [one.ends_at - cycle for one, length in zip(found, lengths, strict=True) for cycle in range(1, length + 1)]
    assert left == list(range(flown - 1, -1, -1))
