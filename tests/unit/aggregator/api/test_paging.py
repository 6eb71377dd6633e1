"""Cursors: opaque to clients, exact for us."""

from datetime import UTC, datetime

import pytest
from fastapi.exceptions import RequestValidationError
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from aggregator.api.paging import cursor_of, place_of, take

BY_NUMBER = TypeAdapter(tuple[float, str])
BY_TIME = TypeAdapter(tuple[datetime, str])


@given(st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=64))
def test_a_cursor_gives_back_its_place_exactly(number, serial):
    assert place_of(cursor_of((number, serial)), BY_NUMBER) == (number, serial)


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 (hypothesis wants naive bounds)
def test_a_cursor_gives_back_its_time_exactly(at):
    assert place_of(cursor_of((at, "E-1")), BY_TIME) == (at, "E-1")


@given(st.text(max_size=40))
def test_a_cursor_that_is_none_is_refused_and_never_a_defect(text):
    with pytest.raises(RequestValidationError):
        place_of(text, BY_NUMBER)


def test_no_cursor_is_the_beginning():
    assert place_of(None, BY_NUMBER) is None


@given(st.lists(st.integers(), max_size=9), st.integers(min_value=1, max_value=8))
def test_a_page_keeps_its_limit_and_says_whether_there_is_more(rows, limit):
    kept, last = take(rows, limit)
    assert kept == rows[:limit]
    assert last == (rows[limit - 1] if len(rows) > limit else None)
