"""What the fleet page shows of a store."""

from aggregator.dashboard.fleet_page import fleet_shown
from aggregator.fleet.bands import Thresholds
from aggregator.store.reads.fleet import EngineFilter, list_engines


def show(store, clock):
    with store.session() as session:
        return fleet_shown(list_engines(session, None, EngineFilter(in_fleet=True)), clock())


def test_an_engine_is_shown_with_its_numbers_in_words(store, recorder, clock):
    recorder.engine("E-1", cycle=7, q50=87.6)
    recorder.status("heartbeat")
    summary, (engine,) = show(store, clock)
    assert engine == {
        "serial": "E-1",
        "site": "hamburg",
        "gateway": "gw-1",
        "status": "operational",
        "cycle": 7,
        "refusal": None,
        "band": "healthy",
        "rul": {"median": "87", "interval": "(67–107)", "q05": 67.6, "q50": 87.6, "q95": 107.6, "cap": 125.0},
        "link": {"state": "online", "reason": "heartbeat on time, promised every 10 s"},
        "at": clock().timestamp(),
    }
    assert summary["counts"]["healthy"] == summary["counts"]["online"] == summary["counts"]["total"] == 1
    assert (summary["median"], summary["mean"]) == ("87", "87")


def test_an_engine_whose_latest_row_was_refused_says_why_beside_its_last_prediction(store, recorder, clock):
    recorder.engine("E-1", cycle=7, q50=87.6)
    recorder.send(recorder.row("E-1", 8, refusal="too hot"))
    _, (engine,) = show(store, clock)
    assert (engine["band"], engine["cycle"], engine["refusal"]) == ("healthy", 8, "too hot")
    recorder.send(recorder.row("E-1", 9), recorder.prediction("E-1", 9))
    assert show(store, clock)[1][0]["refusal"] is None


def test_while_nothing_is_heard_anew_nothing_changes(store, recorder, clock):
    """So nothing has to be sent to the browser, whose own clock counts the age of the last record."""
    recorder.engine("E-1")
    recorder.status("heartbeat")
    before = show(store, clock)
    clock.advance(10)
    assert show(store, clock) == before


def test_retired_engines_are_left_out(store, recorder, clock):
    recorder.engine("E-1")
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE engine SET status = 'retired'")
    summary, engines = show(store, clock)
    assert (summary["counts"]["total"], engines) == (0, [])


def test_the_cards_say_what_the_bands_go_by(clock):
    summary, _ = fleet_shown([], clock(), Thresholds(10, 40, "q05"))
    assert summary["notes"] == {
        "critical": "under 10 cycles by q05",
        "warning": "10 to 39 cycles by q05",
        "healthy": "40 cycles or more by q05",
    }
