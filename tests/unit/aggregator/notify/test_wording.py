"""What people are told."""

from datetime import UTC, datetime

from aggregator.fleet.due import DueDate
from aggregator.notify.wording import LINES_MAX, message


def _told(serial="ESN-1001", action="raised", priority="urgent", **alarm):
    return {
        "alarm": {
            "id": 7,
            "rule": "rul-critical",
            "kind": "rul_low",
            "priority": priority,
            "engine": serial,
            "gateway": None,
            "site": "rotterdam",
            "cycle": 131,
            "raised_at": "2026-12-01T11:00:00+00:00",
            "times_raised": 1,
        }
        | alarm,
        "change": {"at": "2026-12-01T12:00:00+00:00", "who": "the centre", "action": action, "note": "12 cycles left"},
    }


def test_one_alarm_is_told_in_full_with_a_link():
    due = DueDate(datetime(2026, 12, 4, 9, 0, tzinfo=UTC), 12.4, not_before=False)
    title, body = message([_told(times_raised=3)], "https://spoolwatch.example.org", due)
    assert title == "urgent: ESN-1001 (rotterdam): few cycles are left"
    assert body.splitlines() == [
        "12 cycles left",
        "",
        "Engine ESN-1001 at site rotterdam",
        "Raised at 2026-12-01 12:00 UTC",
        "Alarm 7 by rule rul-critical, priority urgent",
        "Seen in cycle 131",
        "Raised 3 times since 2026-12-01 11:00 UTC",
        "It lasts until 2026-12-04, for 12 more cycles, with a confidence of 90 %",
        "",
        "https://spoolwatch.example.org/engines/ESN-1001",
    ]


def test_a_gateway_is_told_of_without_what_only_engines_have():
    gateway = _told(None, gateway="gw-1", kind="gateway_offline", cycle=None)
    title, body = message([gateway], None)
    assert title == "urgent: gw-1 (rotterdam): nothing is heard of it"
    assert body.splitlines()[2:] == [
        "Gateway gw-1 at site rotterdam",
        "Raised at 2026-12-01 12:00 UTC",
        "Alarm 7 by rule rul-critical, priority urgent",
    ]


def test_what_became_more_urgent_says_so_in_its_first_line():
    assert (
        message([_told(action="escalated")], None).title == "urgent by now: ESN-1001 (rotterdam): few cycles are left"
    )


def test_many_are_told_as_one_the_most_urgent_first():
    told = [_told("E-1", priority="low"), _told("E-2"), _told("E-3", "cleared", "high")]
    title, body = message(told, "https://spoolwatch.example.org")
    assert title == "3 changes of alarms: 1 urgent, 1 low, 1 other change"
    assert [line.split(" (rott")[0] for line in body.splitlines()] == [
        *("- urgent: E-2", "- over: E-3", "- low: E-1", "", "https://spoolwatch.example.org")
    ]


def test_a_flood_is_told_in_part():
    _, body = message([_told()] * (LINES_MAX + 20), None)
    assert len(body.splitlines()) == LINES_MAX + 1
    assert body.endswith("and 20 more")


def test_work_is_told_by_its_order_and_links_to_its_page():
    order = {"id": 7, "priority": "high", "engine": "ESN-1001", "site": "hamburg", "reason": "rul-low: few cycles"}
    order |= {"planned_for": "2026-12-01", "assigned_to": None}
    change = {"at": "2026-11-22T12:00:00+00:00", "who": "person anna", "action": "done", "note": "replaced"}
    title, body = message([{"work_order": order, "change": change}], "https://centre.example.org")
    assert title == "work order 7 done by person anna: ESN-1001 (hamburg)"
    assert body.splitlines() == [
        "replaced",
        "",
        "Engine ESN-1001 at site hamburg: rul-low: few cycles",
        "Done at 2026-11-22 12:00 UTC",
        "Planned for 2026-12-01",
        "",
        "https://centre.example.org/work-orders/7",
    ]
    both = message([{"work_order": order, "change": change}] * 2, None)
    assert both.title == "2 changes of alarms and work: 2 other changes"
