"""What people are told of alarms and work orders: a subject line and a body of plain text."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from aggregator.fleet.alarms import Priority
from aggregator.fleet.due import DueDate

CONFIDENCE = 0.9
"""With which an engine lasts until the date that is told; that of the rule ``due-inside-lead-time``."""
LINES_MAX = 50
"""Alarms that a digest tells one by one."""
_HEADLINES = {
    "rul_low": "few cycles are left",
    "fast_decline": "it wears out faster than flying explains",
    "sensor_bad": "a sensor cannot be used",
    "prediction_stale": "no predictions come",
    "due_inside_lead_time": "due before parts can be there",
    "gateway_offline": "nothing is heard of it",
    "outbox_nearly_full": "its outbox is nearly full",
    "quarantine_growing": "much of what it sends cannot be used",
}


class Message(NamedTuple):
    """What is sent to people."""

    title: str
    body: str


def message(told: Sequence[Mapping[str, Any]], public_url: str | None, due: DueDate | None = None) -> Message:
    """Tell of one change of an alarm or work order, or of many.

    Args:
        told: what each notification has as its ``content``.
        public_url: where the centre's pages are, for links; None for none.
        due: of the engine with a confidence of ``CONFIDENCE``, where it is one alarm of an engine and anybody knows.
    """
    if len(told) == 1:
        return Message(headline(told[0]), _in_full(told[0], public_url, due))
    raised = Counter(subject_of(each)["priority"] for each in told if each["change"]["action"] == "raised")
    counts = [f"{raised[priority]} {priority}" for priority in reversed(Priority) if raised[priority]]
    others = len(told) - raised.total()
    counts += [f"{others} other changes" if others > 1 else "1 other change"] if others else []
    urgent_first = sorted(told, key=lambda each: -list(Priority).index(Priority(subject_of(each)["priority"])))
    lines = [
        f"- {headline(each)} ({_at(each['change']['at'])}): {each['change']['note'] or ''}" for each in urgent_first
    ]
    if len(lines) > LINES_MAX:
        lines = [*lines[:LINES_MAX], f"and {len(lines) - LINES_MAX} more"]
    if public_url is not None:
        lines += ["", public_url]
    of = "alarms" if all("alarm" in each for each in told) else "alarms and work"
    return Message(f"{len(told)} changes of {of}: {', '.join(counts)}", "\n".join(lines))


def subject_of(told: Mapping[str, Any]) -> Mapping[str, Any]:
    """The alarm or the work order that something is told of."""
    found: Mapping[str, Any] = told["alarm"] if "alarm" in told else told["work_order"]
    return found


def headline(told: Mapping[str, Any]) -> str:
    """One line.

    >>> alarm = {"priority": "urgent", "engine": "ESN-1001", "site": "hamburg", "kind": "rul_low"}
    >>> headline({"alarm": alarm, "change": {"action": "raised", "who": "the centre"}})
    'urgent: ESN-1001 (hamburg): few cycles are left'
    >>> headline({"alarm": alarm, "change": {"action": "acknowledged", "who": "person anna"}})
    'acknowledged by person anna: ESN-1001 (hamburg): few cycles are left'
    """
    if "work_order" in told:
        order, change = told["work_order"], told["change"]
        return f"work order {order['id']} {change['action']} by {change['who']}: {order['engine']} ({order['site']})"
    alarm, change = told["alarm"], told["change"]
    what = f"{alarm['engine'] or alarm['gateway']} ({alarm['site']}): {_HEADLINES.get(alarm['kind'], alarm['kind'])}"
    if change["action"] == "raised":
        return f"{alarm['priority']}: {what}"
    if change["action"] == "cleared":
        return f"over: {what}"
    if change["action"] == "escalated":
        return f"{alarm['priority']} by now: {what}"
    return f"{change['action']} by {change['who']}: {what}"


def _in_full(told: Mapping[str, Any], public_url: str | None, due: DueDate | None) -> str:
    if "work_order" in told:
        return _work_in_full(told, public_url)
    alarm, change = told["alarm"], told["change"]
    subject = f"Engine {alarm['engine']}" if alarm["engine"] else f"Gateway {alarm['gateway']}"
    lines = [
        *([change["note"]] if change["note"] else []),
        "",
        f"{subject} at site {alarm['site']}",
        f"{change['action'].capitalize()} at {_at(change['at'])}",
        f"Alarm {alarm['id']} by rule {alarm['rule']}, priority {alarm['priority']}",
        *([f"Seen in cycle {alarm['cycle']}"] if alarm["cycle"] is not None else []),
        *(
            [f"Raised {alarm['times_raised']} times since {_at(alarm['raised_at'])}"]
            if alarm["times_raised"] > 1
            else []
        ),
        *([] if due is None else [_due_in_words(due)]),
    ]
    if public_url is not None:
        lines += ["", f"{public_url}/engines/{quote(alarm['engine'])}" if alarm["engine"] else public_url]
    return "\n".join(lines).strip("\n")


def _work_in_full(told: Mapping[str, Any], public_url: str | None) -> str:
    order, change = told["work_order"], told["change"]
    lines = [
        *([change["note"], ""] if change["note"] else []),
        f"Engine {order['engine']} at site {order['site']}: {order['reason']}",
        f"{change['action'].capitalize()} at {_at(change['at'])}",
        *([f"Planned for {order['planned_for']}"] if order["planned_for"] else []),
        *([f"For {order['assigned_to']}"] if order["assigned_to"] else []),
        *(["", f"{public_url}/work-orders/{order['id']}"] if public_url is not None else []),
    ]
    return "\n".join(lines)


def _due_in_words(due: DueDate) -> str:
    until = f"{'at least ' if due.not_before else ''}until {due.at:%Y-%m-%d}, for {due.cycles:.0f} more cycles"
    return f"It lasts {until}, with a confidence of {CONFIDENCE * 100:g} %"


def _at(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M} UTC"
