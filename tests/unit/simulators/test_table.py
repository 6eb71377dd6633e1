"""The table tells what was emitted and what the centre makes of it, honestly at the cap."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from simulators.centre import EngineView, Rul
from simulators.emitter import DataLogger
from simulators.engines import PlayedEngine, PlayedRow
from simulators.table import LiveView, age_text, fleet_table, progress_line, rul_text

AT = datetime(2026, 1, 1, tzinfo=UTC)


def _logger(serial, life, emitted):
    rows = iter([PlayedRow(cycle, f"{cycle}", life - cycle) for cycle in range(1, life + 1)])
    logger = DataLogger(PlayedEngine(serial, 1, rows), io.BytesIO())
    logger.emit(emitted)
    return logger


def _console(terminal):
    return Console(file=io.StringIO(), width=110, force_terminal=terminal, color_system=None)


@pytest.mark.parametrize(
    ("rul", "text"),
    [
        (None, "–"),
        (Rul(q05=61.2, q50=87.4, q95=118.0, cap=125), "87 (61–118)"),
        (Rul(q05=103.0, q50=121.0, q95=131.0, cap=125), "121 (103 to ≥ 125)"),
        (Rul(q05=110.0, q50=126.0, q95=131.0, cap=125), "≥ 125 (110 to ≥ 125)"),
        (Rul(q05=125.0, q50=126.0, q95=131.0, cap=125), "≥ 125"),
        (Rul(q05=-3.0, q50=1.2, q95=9.0, cap=125), "1 (0–9)"),
        (Rul(q05=11.9, q50=19.7, q95=30.5, cap=125), "19 (11–30)"),
        (Rul(q05=0.2, q50=0.5, q95=0.9, cap=125), "0 (0–0)"),
    ],
)
def test_rul_is_told_with_its_interval_and_at_least_the_cap(rul, text):
    assert rul_text(rul) == text


def test_the_age_of_a_record_is_never_negative():
    assert age_text(AT, AT - timedelta(seconds=2)) == "0 s"


def test_the_table_has_one_line_per_engine_with_truth_and_prediction():
    console = _console(terminal=True)
    views = {"E-01": EngineView("E-01", "warning", "online", Rul(q05=20, q50=31, q95=47, cap=125), AT)}

    console.print(fleet_table([_logger("E-01", 40, 12), _logger("E-02", 40, 0)], views, "http://page"))

    title, header, first, second = console.file.getvalue().splitlines()
    assert "http://page" in title
    assert " ".join(header.split()) == "engine cycle true RUL RUL (5–95 %) health link last record"
    assert first.split()[:7] == ["E-01", "12", "28", "31", "(20–47)", "warning", "online"]
    assert second.split() == ["E-02", "–", "–", "–", "unknown", "–", "–"]


def test_an_engine_at_its_failure_is_called_failed_whatever_the_centre_predicts():
    line = progress_line([_logger("E-01", 5, 5), _logger("E-02", 5, 1)], {"E-01": EngineView("E-01", "critical")}, "x")

    assert line == "engines 2 (failed 1, unknown 1), rows emitted 6, x"


def test_on_a_terminal_the_table_is_drawn_with_the_address_of_the_page():
    console = _console(terminal=True)
    with LiveView([_logger("E-01", 5, 1)], dict, "http://page", console) as view:
        view.show("going on")

    assert "http://page" in console.file.getvalue()
    assert "E-01" in console.file.getvalue()


def test_elsewhere_a_line_comes_now_and_then():
    console = _console(terminal=False)
    with LiveView([_logger("E-01", 5, 1)], dict, "http://page", console) as view:
        for _ in range(3):
            view.show("going on")
        view.show("stopping", at_once=True)

    lines = console.file.getvalue().splitlines()
    assert lines[0] == "the page is http://page"
    assert [line.rsplit(", ", 1)[1] for line in lines[1:]] == ["going on", "stopping"]


def test_while_the_centre_cannot_be_asked_its_last_answer_stays():
    answers = [{"E-01": EngineView("E-01", "warning")}, None]
    console = _console(terminal=False)
    with LiveView([_logger("E-01", 5, 1)], lambda: answers.pop(0), "http://page", console) as view:
        view.show("first", at_once=True)
        view.show("second", at_once=True)

    assert "warning 1" in console.file.getvalue().splitlines()[-1]
