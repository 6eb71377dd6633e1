"""What somebody has chosen to see of a list, from whatever a browser or a URL says."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.dashboard.view import SEARCH_MAX_CHARS, Choices, View

CHOICES = Choices(("risk", "serial", "at"), {"band": ("critical", "healthy"), "link": ("offline",)}, falling=("at",))
FIRST = View.first(CHOICES)
ANYTHING = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda one: st.lists(one, max_size=3))
SENSIBLE = st.sampled_from(
    [
        {"reset": True},
        {"move": "next"},
        {"move": "previous"},
        {"search": "E-1 & ü"},
        *({"sort": sort} for sort in CHOICES.sorts),
        *({"filter": [key, value]} for key, values in CHOICES.filters.items() for value in (*values, "")),
    ]
)
CHANGES = st.lists(SENSIBLE | st.dictionaries(st.sampled_from(["sort", "search", "filter", "move"]), ANYTHING))


def changed(view, *changes):
    for change in changes:
        view = view.changed(change, CHOICES, "a place")
    return view


def test_a_second_click_turns_the_order_around():
    view = changed(FIRST, {"sort": "serial"})
    assert (view.sort, view.is_falling) == ("serial", False)
    assert changed(view, {"sort": "serial"}).is_falling
    assert changed(FIRST, {"sort": "at"}).is_falling


def test_pages_are_gone_through_forth_and_back():
    second = changed(FIRST, {"move": "next"})
    assert second.places == ("a place",)
    assert changed(second, {"move": "previous"}, {"move": "previous"}) == FIRST
    assert FIRST.changed({"move": "next"}, CHOICES, None) == FIRST


@pytest.mark.parametrize("change", [{"sort": "serial"}, {"search": "x"}, {"filter": ["band", "critical"]}])
def test_what_is_chosen_anew_is_shown_from_its_first_page(change):
    assert changed(FIRST, {"move": "next"}, change).places == ()


def test_show_all_keeps_the_order():
    view = changed(FIRST, {"sort": "serial"}, {"search": "x"}, {"filter": ["band", "critical"]}, {"reset": True})
    assert view == View("serial", is_falling=False)


@given(CHANGES)
def test_p_whatever_a_browser_says_there_is_something_to_show_and_its_url_shows_it_again(changes):
    view = changed(FIRST, *changes)
    assert view.sort in CHOICES.sorts
    assert all(value in CHOICES.filters[key] for key, value in view.filters)
    assert len(view.search) <= SEARCH_MAX_CHARS
    again = View.from_query(dict(parse_qsl(view.url_query(CHOICES))), CHOICES)
    assert (again.sort, again.is_falling, again.search, again.filters) == (
        *(view.sort, view.is_falling, view.search, view.filters),
    )


@given(st.dictionaries(st.sampled_from(["sort", "q", "band", "link"]), st.text()))
def test_a_url_that_asks_for_what_there_is_not_shows_something(query):
    view = View.from_query(query, CHOICES)
    assert view.sort in CHOICES.sorts
    assert all(value in CHOICES.filters[key] for key, value in view.filters)
