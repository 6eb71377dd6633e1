"""Utilisation is measured over the last weeks, and not at all over less than a day."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.fleet.utilisation import APART, WINDOW, Mark, measure, remember

START = datetime(2026, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def marks_of(rows: list[tuple[float, int]]) -> list[Mark]:
    marks: list[Mark] = []
    for hours, cycle in rows:
        marks = remember(marks, START + hours * HOUR, cycle)
    return marks


@pytest.mark.parametrize("hours", [0.0, 1.0, 23.9])
def test_less_than_a_day_says_nothing(hours: float) -> None:
    assert measure(marks_of([(0, 1)]), START + hours * HOUR, 5) is None


def test_an_engine_without_rows_has_none() -> None:
    assert measure([], START, 1) is None


def test_only_the_last_weeks_count() -> None:
    slow = [(24.0 * day, day) for day in range(1, 40)]
    fast = [(24.0 * (39 + day), 39 + 6 * day) for day in range(1, 29)]
    hours, cycle = fast[-1]
    assert measure(marks_of(slow + fast), START + hours * HOUR, cycle) == pytest.approx(6)


@pytest.mark.parametrize("later", [(-24.0, 50), (24.0, 3)])
def test_a_clock_or_counter_that_fell_back_begins_anew(later: tuple[float, int]) -> None:
    assert len(marks_of([(0, 10), later])) == 1


@given(
    st.floats(min_value=0.5, max_value=40),
    st.lists(st.floats(min_value=0.01, max_value=30), min_size=2, max_size=60),
)
def test_an_engine_that_flies_evenly_is_measured_as_it_flies(per_day: float, pauses: list[float]) -> None:
    """Each row comes when its cycle is due at that rate, however many are missing between two."""
    cycle, rows = 1, [(0.0, 1)]
    for pause in pauses:
        cycle += 1 + int(pause * per_day)
        rows.append(((cycle - 1) / per_day * 24, cycle))
    marks = marks_of(rows)
    hours, cycle = rows[-1]
    measured = measure(marks, START + hours * HOUR, cycle)
    assert len(marks) <= WINDOW / APART + 1
    assert measured is None or measured == pytest.approx(per_day, rel=1e-4)  # marks are of whole seconds
    assert marks == sorted(marks)


@given(st.lists(st.tuples(st.floats(min_value=-1000, max_value=1000), st.integers(1, 300)), max_size=40))
def test_whatever_clocks_and_counters_do_a_measure_is_positive(rows: list[tuple[float, int]]) -> None:
    marks = marks_of(rows)
    assert all(left[0] < right[0] and left[1] < right[1] for left, right in pairwise(marks))
    if rows:
        hours, cycle = rows[-1]
        measured = measure(marks, START + hours * HOUR, cycle)
        assert measured is None or measured > 0
