from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from edge_agent.outbox import Outbox
from edge_agent.status import STATUS_FILE, SourceGauge, StatusBoard, StatusFileError, read_local_status
from shared.messages import ModelRef

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def board(tmp_path):
    outbox = Outbox(tmp_path / "outbox.db")
    model = ModelRef(name="m", version="1.0.0", sha256="0" * 64)
    yield StatusBoard(outbox, outbox.begin_session(), ["E-1"], model, 15.0, source=SourceGauge("file"), now=lambda: NOW)
    outbox.close()


def test_the_status_file_holds_the_last_status(board, tmp_path):
    board.write(tmp_path, "up")
    told = read_local_status(tmp_path)
    assert (told.link, told.written_at, told.status.engines) == ("up", NOW, ["E-1"])


def test_a_status_file_that_cannot_be_written_stops_nobody_and_is_told_once(board, tmp_path):
    gone = tmp_path / "gone"
    with capture_logs() as logs:
        for _ in range(3):
            board.write(gone, "up")
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
        board.write(tmp_path, "up")
    assert "status_file_not_written" in [entry["event"] for entry in logs]
