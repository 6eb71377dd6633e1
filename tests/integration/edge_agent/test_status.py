import re
from contextlib import closing
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from edge_agent.local import look
from edge_agent.outbox import Outbox
from edge_agent.settings import OutboxSettings
from edge_agent.status import STATUS_FILE, LinkView, SourceGauge, StatusBoard, StatusFileError, read_local_status
from edge_agent.status_text import render
from shared.messages import BudgetStatus, ModelRef, Prediction, RulCycles, Window

NOW = datetime(2026, 1, 2, tzinfo=UTC)
UP = LinkView(summary="up", is_up=True)


@pytest.fixture
def gauge():
    return SourceGauge("file")


@pytest.fixture
def clock():
    """A clock that stands at this second."""
    return [100.0]


@pytest.fixture
def board(tmp_path, gauge, clock):
    model = ModelRef(name="m", version="1.0.0", sha256="0" * 64)
    with closing(Outbox(tmp_path / "outbox.db")) as outbox:
        yield StatusBoard(
            *(outbox, outbox.begin_session(), ["E-1"], model, 15.0),
            source=gauge,
            now=lambda: NOW,
            monotonic_s=lambda: clock[0],
        )


def test_the_status_file_is_written_when_something_matters_and_else_every_ten_seconds(board, gauge, clock, tmp_path):
    def written_rows(link, **changes):
        clock[0] += 2
        gauge.note(**changes)
        board.keep(tmp_path, link)
        assert board.told.status.source.rows == gauge.status.rows  # for whoever asks this process
        return read_local_status(tmp_path).status.source.rows

    assert written_rows(UP, rows=1, state="reading") == 1
    assert [written_rows(UP, rows=rows) for rows in range(2, 8)] == [1, 1, 1, 1, 6, 6]
    assert written_rows(LinkView(summary="down: cable"), rows=8) == 8
    assert written_rows(UP, rows=9) == 9
    assert written_rows(UP, rows=10, last_error="garbage") == 10


def test_the_status_file_holds_the_last_status(board, tmp_path):
    board.write(tmp_path, UP)
    told = read_local_status(tmp_path)
    assert (told.link, told.written_at, told.status.engines) == ("up", NOW, ["E-1"])


def test_the_status_file_shows_each_engine_with_its_latest_prediction_or_why_there_is_none(tmp_path):
    clock = iter([0.0, *[100.0] * 9])
    gauge = SourceGauge("file", clock_s=lambda: next(clock))
    gauge.note(state="reading", rows=50)
    model = ModelRef(name="m", version="1.0.0", sha256="0" * 64)
    prediction = Prediction(
        engine="E-1",
        cycle=57,
        observed_at=NOW,
        predicted_at=NOW,
        rul_cycles=RulCycles(mean=80.0, q05=61.2, q50=87.4, q95=118.0),
        cap_cycles=125.0,
        model=model,
        runtime="tflite-runtime 2.14.0",
        window=Window(first_cycle=28, last_cycle=57, rows=30),
        input=b"",
        flags={"T24": ["stuck"]},
    )
    with closing(Outbox(tmp_path / "outbox.db")) as outbox:
        latest = {"E-1": prediction, "E-2": "no row of it has come since the agent was started"}
        board = StatusBoard(
            *(outbox, outbox.begin_session(), list(latest), model, 15.0),
            source=gauge,
            now=lambda: NOW,
            latest=lambda: latest,
        )
        board.write(tmp_path, UP)
    assert read_local_status(tmp_path).rows_per_s == 0.5
    text = render(look(tmp_path, OutboxSettings()), as_json=False)
    assert "engine     E-1: RUL 87 (61–118) cycles at cycle 57 (T24 stuck)\n" in text
    assert "engine     E-2: no row of it has come since the agent was started\n" in text
    assert re.search(r"source     file: reading, 0\.5 rows/s, 50 since the start of the agent", text)
    assert re.search(r"room .*; [\d,]+ MB of the disk are free\n", text)


@pytest.mark.parametrize(
    ("skew_s", "is_off", "told"),
    [
        (None, False, "clock      not compared: "),
        (-3600.0, True, "clock      3,600.0 s behind the centre's, .*: have it set"),
        (0.2, False, "clock      0.2 s ahead of the centre's, the way of its message included\n"),
    ],
)
def test_the_clock_is_told_beside_the_centres(board, tmp_path, skew_s, is_off, told):
    board.write(tmp_path, LinkView(summary="up", is_up=True, clock_skew_s=skew_s))
    view = look(tmp_path, OutboxSettings())
    assert (view.last.clock_skew_s, view.last.clock_is_off) == (skew_s, is_off)
    assert re.search(told, render(view, as_json=False))


def test_what_is_left_of_a_data_budget_and_what_waits_for_it_is_told(board, tmp_path):
    budget = BudgetStatus(day_bytes=50_000_000, spent_bytes=36_040_000, waits="telemetry")
    board.write(tmp_path, LinkView(summary="up", is_up=True, budget=budget))
    text = render(look(tmp_path, OutboxSettings()), as_json=False)
    assert (
        "budget     36.0 of 50.0 MB spent since midnight UTC; telemetry waits for the next day, "
        "a heartbeat every 150 s\n"
    ) in text


def test_a_status_file_that_cannot_be_written_stops_nobody_and_is_told_once(board, tmp_path):
    gone = tmp_path / "gone"
    with capture_logs() as logs:
        for _ in range(3):
            board.write(gone, UP)
    assert [entry["event"] for entry in logs] == ["status_file_not_written"]
    assert read_local_status(gone) is None


@pytest.mark.parametrize("content", [b'{"written_at": 3}', b"\xff\x00", b""])
def test_a_status_file_that_cannot_be_read_is_named(tmp_path, content):
    (tmp_path / STATUS_FILE).write_bytes(content)
    with pytest.raises(StatusFileError, match=r"status\.json cannot be read"):
        read_local_status(tmp_path)


def test_the_last_error_stays_until_there_is_another_and_says_when_it_is_over():
    gauge = SourceGauge("file")
    gauge.note(state="failed", last_error="cable")
    gauge.note(state="waiting")
    assert gauge.status.last_error == "cable"
    gauge.note(state="reading")
    gauge.note(state="reading")
    assert gauge.status.last_error == "over: cable"
    gauge.note(state="reading", last_error="1 column instead of 26")
    gauge.note(state="reading")
    assert gauge.status.last_error == "1 column instead of 26"


def test_a_data_folder_that_is_gone_stops_nobody(board, tmp_path):
    for path in tmp_path.iterdir():
        path.unlink()
    tmp_path.rmdir()
    with capture_logs() as logs:
        board.write(tmp_path, UP)
    assert "status_file_not_written" in [entry["event"] for entry in logs]
