"""What is read of a history, on every database."""

from aggregator.store.reads import history
from aggregator.store.reads.history import Span, list_channels


def test_the_channels_of_a_history_are_those_that_any_row_has(store, recorder, deliver, monkeypatch):
    monkeypatch.setattr(history, "ROWS_AT_ONCE", 2)
    recorder.register("E1")
    rows = [{"T30": 1.0}, {"T30": None}, {"P30": None}, {"T30": 2.0, "Nf": 3.0}]
    deliver({cycle: recorder.row("E1", cycle, channels) for cycle, channels in enumerate(rows, 1)})
    with store.session() as session:
        assert list_channels(session, 1, Span()) == ["T30", "P30", "Nf"]
        assert list_channels(session, 1, Span(to_cycle=2)) == ["T30"]
        assert list_channels(session, 2, Span()) == []
