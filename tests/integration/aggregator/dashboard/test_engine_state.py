"""What the page of an engine shows of a store."""

from datetime import timedelta

import pytest

from aggregator import explaining
from aggregator.dashboard.engine_state import EngineReader
from aggregator.fleet.bands import THRESHOLDS
from aggregator.store.overhauls import NewOverhaul, overhaul


@pytest.fixture
def read(store, clock):
    reader = EngineReader(THRESHOLDS)

    def read(serial="E-1"):
        with store.session() as session:
            return reader.read(session, None, serial, clock())

    return read


def test_an_engine_that_nobody_knows_is_none(read):
    assert read("E-9") is None


def test_curve_and_rows_are_read_oldest_first(read, recorder):
    recorder.engine("E-1", cycle=7, q50=60.0)
    recorder.send(recorder.row("E-1", 8), recorder.prediction("E-1", 8, q50=59.0))
    state = read()
    assert [cycle for cycle, _ in state.curve] == [7, 8]
    assert [row.cycle for row in state.rows] == [7, 8]


def test_alarms_and_what_was_done_to_it_are_told_the_latest_first(read, recorder, store, clock):
    recorder.engine("E-1", cycle=1, q50=10.0)
    for cycle in (2, 3):
        recorder.send(recorder.row("E-1", cycle), recorder.prediction("E-1", cycle, q50=10.0))
    clock.advance(timedelta(days=1).total_seconds())
    overhaul(store, NewOverhaul("E-1", clock()), clock())
    state = read()
    assert "rul-low" in [row.alarm.rule for row in state.alarms]
    assert [event.text for event in state.log] == [
        "overhauled, maintenance epoch 1",
        "installed at position E-1 of gw-1",
    ]


def test_why_is_told_anew_only_when_there_is_something_new(read, recorder, monkeypatch):
    recorder.engine("E-1", cycle=7)
    asked = []

    def explain(session, detail):
        asked.append(detail.row.cycle)
        return explaining.Explanation()

    monkeypatch.setattr("aggregator.dashboard.engine_state.explain", explain)
    read()
    read()
    recorder.send(recorder.row("E-1", 8), recorder.prediction("E-1", 8))
    read()
    assert asked == [7, 8]
