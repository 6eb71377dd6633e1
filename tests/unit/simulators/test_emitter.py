"""Data loggers write what is due, once, and the account says the same."""

from datetime import UTC, datetime

import pytest

from simulators.emitter import Emitter
from simulators.engines import PlayedEngine, PlayedRow
from simulators.truth import read_truth

AT = datetime(2026, 1, 1, tzinfo=UTC)


def _engine(serial, life, past_rows=0, to_failure=True):
    rows = (PlayedRow(cycle, f"{serial} {cycle}", life - cycle if to_failure else None) for cycle in range(1, life + 1))
    return PlayedEngine(serial, 1, rows, past_rows)


@pytest.fixture
def emit(tmp_path):
    def start(*engines):
        files = [(engine, tmp_path / f"{engine.serial}.txt") for engine in engines]
        return Emitter(files, tmp_path / "truth.jsonl", lambda: AT)

    return start


def test_the_past_is_there_before_the_first_live_cycle(emit, tmp_path):
    with emit(_engine("A", 10, past_rows=3)) as emitter:
        emitter.emit(0)

    assert (tmp_path / "A.txt").read_text().splitlines() == ["A 1", "A 2", "A 3"]


def test_what_is_due_is_written_once_however_often_it_is_asked_for(emit, tmp_path):
    with emit(_engine("A", 10, past_rows=1), _engine("B", 10)) as emitter:
        for live_cycles in (0, 0, 1, 1, 4):
            emitter.emit(live_cycles)

        assert emitter.emitted == 5 + 4
    assert (tmp_path / "A.txt").read_text().splitlines() == [f"A {cycle}" for cycle in range(1, 6)]


def test_the_account_holds_every_written_row_with_its_truth(emit, tmp_path):
    with emit(_engine("A", 3), _engine("B", 5)) as emitter:
        emitter.emit(2)

    truth = [(row.engine, row.cycle, row.rul_cycles) for row in read_truth(tmp_path / "truth.jsonl")]
    assert truth == [("A", 1, 2), ("A", 2, 1), ("B", 1, 4), ("B", 2, 3)]


def test_an_engine_that_reached_its_failure_gives_no_more_rows(emit, tmp_path):
    with emit(_engine("A", 2), _engine("B", 4)) as emitter:
        emitter.emit(2)
        assert [logger.failed for logger in emitter.loggers] == [True, False]
        assert not emitter.ended
        emitter.emit(9)
        assert emitter.ended

    assert (tmp_path / "A.txt").read_text().splitlines() == ["A 1", "A 2"]


def test_a_recording_without_truth_ends_but_does_not_fail(emit):
    with emit(_engine("A", 2, to_failure=False)) as emitter:
        emitter.emit(3)

        assert emitter.ended
        assert not emitter.loggers[0].failed
