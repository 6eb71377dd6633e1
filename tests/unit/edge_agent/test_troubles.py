"""What the agent remembers of its log."""

from datetime import UTC, datetime

from edge_agent.troubles import KEPT, TEXT_MAX_CHARS, Trouble, Troubles

AT = "2026-01-02T03:04:05Z"


def noted(*events):
    troubles = Troubles()
    for event in events:
        assert troubles(None, "", event | {"timestamp": AT}) == event | {"timestamp": AT}
    return [(one.event, one.text, one.times) for one in troubles.last]


def test_warnings_and_errors_are_remembered_with_their_reason_or_their_fields():
    assert noted(
        {"event": "link_up", "level": "info"},
        {"event": "source_failed", "level": "warning", "reason": "no such file", "failures_in_a_row": 2},
        {"event": "rows_refused", "level": "warning", "rows": 3, "first_reason": "1 column"},
        {"event": "agent_failed", "level": "error", "exception": "Traceback"},
    ) == [
        ("agent_failed", "", 1),
        ("rows_refused", "rows 3, first_reason 1 column", 1),
        ("source_failed", "no such file", 1),
    ]


def test_the_same_once_more_is_counted_and_the_last_few_are_kept():
    again = {"event": "e", "level": "error", "reason": "0"}
    others = [again | {"reason": str(number)} for number in range(1, KEPT)]
    assert noted(again, *others, again)[0] == ("e", "0", 2)
    assert [text for _, text, _ in noted(again, *others, again | {"reason": "new"})] == ["new", "4", "3", "2", "1"]


def test_a_trouble_is_dated_and_never_long():
    troubles = Troubles()
    troubles(None, "", {"event": "e", "level": "error", "reason": "x" * 5000, "timestamp": AT})
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert troubles.last == (Trouble(event="e", text="x" * TEXT_MAX_CHARS, at=at),)
