"""What the fleet page shows of a store."""

import pytest

from aggregator.dashboard.fleet_page import FleetListing, cards_of
from aggregator.dashboard.view import View
from aggregator.fleet.bands import THRESHOLDS, Thresholds
from aggregator.fleet.summary import summarise

LISTING = FleetListing(THRESHOLDS)


@pytest.fixture
def show(store, clock):
    """Read the rows of a view, by default the first; a listing of its own, as each aggregator has."""
    listing = FleetListing(THRESHOLDS)

    def show(**view):
        with store.session() as session:
            return listing.portion(session, None, View(**{"sort": "risk", "is_falling": False} | view), clock())

    return show


@pytest.fixture
def cards(store, clock):
    def cards():
        with store.session() as session:
            numbers = LISTING.numbers(session, None, clock())
        return numbers.is_empty, {card["key"]: card["value"] for card in numbers.cards}

    return cards


def serials(portion):
    return [row["serial"] for row in portion.rows]


def test_an_engine_is_shown_with_its_numbers_in_words(show, cards, recorder, clock):
    recorder.engine("E-1", cycle=7, q50=87.6)
    recorder.status("heartbeat")
    (engine,) = show().rows
    assert engine == {
        "key": "E-1",
        "name": "E-1",
        "href": "/engines/E-1",
        "serial": "E-1",
        "site": "hamburg",
        "cycle": 7,
        "band": "healthy",
        "rul": {"median": "87", "interval": "(67–107)", "q05": 67.6, "q50": 87.6, "q95": 107.6, "cap": 125.0},
        "curve": {"values": [87.6], "cap": 125.0},
        "link": {"state": "online", "reason": "heartbeat on time, promised every 10 s"},
        "at": clock().timestamp(),
        "notes": {"site": "gw-1"},
        "odd": [],
        "titles": {},
    }
    is_empty, values = cards()
    assert not is_empty
    assert (values["engines"], values["healthy"], values["offline"], values["median"]) == (1, 1, 0, "87")


def test_an_engine_whose_latest_row_was_refused_says_why_beside_its_last_prediction(show, recorder):
    recorder.engine("E-1", cycle=7, q50=87.6)
    recorder.send(recorder.row("E-1", 8, refusal="too hot"))
    (engine,) = show().rows
    assert (engine["band"], engine["cycle"], engine["titles"]) == ("healthy", 8, {"rul": "too hot"})
    recorder.send(recorder.row("E-1", 9), recorder.prediction("E-1", 9))
    assert show().rows[0]["titles"] == {}


def test_while_nothing_is_heard_anew_nothing_changes(show, recorder, clock):
    """So nothing has to be sent to the browser, whose own clock counts the age of the last record."""
    recorder.engine("E-1")
    recorder.status("heartbeat")
    before = show()
    clock.advance(10)
    assert show() == before


def test_a_curve_grows_with_each_prediction(show, recorder):
    recorder.engine("E-1", cycle=7, q50=87.6)
    assert show().rows[0]["curve"]["values"] == [87.6]
    recorder.send(recorder.row("E-1", 8), recorder.prediction("E-1", 8, q50=80.0))
    assert show().rows[0]["curve"]["values"] == [87.6, 80.0]


def test_retired_engines_are_left_out(store, show, cards, recorder):
    recorder.engine("E-1")
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE engine SET status = 'retired'")
    assert (cards()[0], show().rows) == (True, [])


def test_a_fleet_is_shown_in_pages_in_the_order_that_was_chosen(monkeypatch, show, recorder):
    monkeypatch.setattr("aggregator.dashboard.fleet_page.ROWS_PER_PAGE", 2)
    for number, q50 in enumerate((60.0, 30.0, 90.0, 80.0, 70.0), 1):
        recorder.engine(f"E-{number}", q50=q50)
    first = show()
    assert (serials(first), first.total) == (["E-2", "E-1"], 5)
    second = show(places=(first.next_place,))
    third = show(places=(first.next_place, second.next_place))
    assert (serials(second), serials(third), third.next_place) == (["E-5", "E-4"], ["E-3"], None)
    assert serials(show(sort="serial", is_falling=True)) == ["E-5", "E-4"]


def test_what_is_searched_may_be_in_serial_site_or_gateway_and_means_itself(show, recorder):
    for serial in ("E-1", "E_2", "X3"):
        recorder.engine(serial, q50=60.0)
    assert serials(show(search="e_")) == ["E_2"]
    assert sorted(serials(show(search="HAM"))) == sorted(serials(show(search="w-1"))) == ["E-1", "E_2", "X3"]
    assert serials(show(search="%")) == []


def test_filters_choose_by_band_and_by_link(show, recorder):
    recorder.engine("E-1", q50=10.0)
    recorder.engine("E-2", q50=90.0)
    recorder.status("stopped")
    assert serials(show(filters=(("band", "critical"),))) == ["E-1"]
    assert serials(show(filters=(("band", "critical"), ("link", "offline")))) == ["E-1"]
    assert serials(show(filters=(("link", "online"),))) == []


def test_the_cards_say_what_the_bands_go_by():
    notes = {card["key"]: card["note"] for card in cards_of(summarise([]), Thresholds(10, 40, "q05"))}
    assert notes["critical"] == "under 10 cycles by q05"
    assert notes["warning"] == "10 to 39 cycles by q05"
    assert notes["healthy"] == "40 cycles or more by q05"
