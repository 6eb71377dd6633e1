"""Alarms that nobody acknowledges become more urgent, unless somebody has set their priority."""

from dataclasses import replace

import pytest

from aggregator.access.roles import Caller, Grant, Role
from aggregator.alarm_watch import AlarmWatch
from aggregator.fleet.alarms import Priority
from aggregator.fleet.notifying import Wishes
from aggregator.store.alarm_actions import Acting, ClosedAlarmError, NoSuchAlarmError
from aggregator.store.alarm_rules import add_rule, list_rules, replace_rule
from aggregator.store.escalation import escalate
from aggregator.store.notifications import route
from aggregator.store.receivers import Address, NewReceiver, add_receiver
from aggregator.store.tables import Alarm, AlarmChange, AuditEntry, Notification

HOUR_S = 3600.0


@pytest.fixture
def low(store, clock, recorder):
    """The rule rul-low, medium, which escalates after two hours; its id. An engine by it has an alarm, the only one."""
    with store.session() as session:
        (found,) = [one for one in list_rules(session, None) if one.rule.name == "rul-low"]
    replace_rule(store, found.row.id, lambda rule: replace(rule, escalates_after_s=2 * HOUR_S), clock())
    recorder.engine("E1")
    recorder.send(*(recorder.prediction("E1", cycle, q50=45.0) for cycle in (2, 3, 4)))
    return found.row.id


@pytest.fixture
def acting(store, clock):
    person = Caller("person anna", (Grant(Role.TECHNICIAN, "hamburg"),))
    return lambda by=person: Acting(store, clock(), by=by)


@pytest.fixture
def after(store, clock, rows):
    """Let hours pass, and say which priority the alarm has then."""

    def run(hours):
        clock.advance(hours * HOUR_S)
        escalate(store, clock())
        escalate(store, clock())
        (alarm,) = rows(Alarm)
        return alarm["priority"]

    return run


@pytest.fixture
def history(rows):
    return lambda: [(row["who"], row["action"], row["note"]) for row in rows(AlarmChange)][1:]


@pytest.mark.usefixtures("low")
def test_an_alarm_becomes_more_urgent_step_by_step_until_it_is_urgent(after, history, clock, rows):
    assert [after(hours) for hours in (1.9, 0.1, 1.9, 0.1, 50)] == ["medium", "high", "high", "urgent", "urgent"]
    note = "nobody has acknowledged it for 2 h"
    assert history() == [("the centre", "escalated", f"to {priority}: {note}") for priority in ("high", "urgent")]


@pytest.mark.parametrize(
    "do", [lambda acting: acting.acknowledge(1), lambda acting: acting.prioritise(1, Priority.LOW, "on the ground")]
)
@pytest.mark.usefixtures("low")
def test_what_somebody_has_seen_or_judged_is_left_alone(acting, after, do):
    do(acting())
    assert after(100) == after(100) in ("medium", "low")


@pytest.mark.usefixtures("low")
def test_what_is_over_is_left_alone(after, recorder):
    recorder.send(*(recorder.prediction("E1", cycle, q50=90.0) for cycle in (5, 6, 7)))
    assert after(100) == "medium"


@pytest.mark.usefixtures("low")
def test_what_is_shelved_waits_and_as_long_again_once_it_is_back(acting, after, clock):
    acting().shelve(1, clock.in_(5 * HOUR_S))
    assert [after(hours) for hours in (4.9, 0.1, 1.9, 0.1)] == ["medium", "medium", "medium", "high"]


@pytest.mark.usefixtures("low")
def test_raised_once_more_it_begins_anew(after, recorder):
    assert after(2) == "high"
    recorder.send(*(recorder.prediction("E1", cycle, q50=90.0) for cycle in (5, 6, 7)))
    recorder.send(*(recorder.prediction("E1", cycle, q50=45.0) for cycle in (8, 9, 10)))
    assert [after(hours) for hours in (0, 1.9, 0.1)] == ["medium", "medium", "high"]


@pytest.mark.usefixtures("low")
def test_a_priority_that_was_set_stays_when_it_is_raised_once_more(acting, after, recorder, history):
    acting().prioritise(1, Priority.LOW, "on the ground")
    recorder.send(*(recorder.prediction("E1", cycle, q50=90.0) for cycle in (5, 6, 7)))
    recorder.send(*(recorder.prediction("E1", cycle, q50=45.0) for cycle in (8, 9, 10)))
    assert after(100) == "low"
    assert history()[0] == ("person anna", "prioritised", "to low: on the ground")


def test_the_rule_of_the_narrowest_scope_says_when(low, store, clock, after):
    with store.session() as session:
        (found,) = [one for one in list_rules(session, None) if one.row.id == low]
    add_rule(store, replace(found.rule, site="hamburg", escalates_after_s=None), clock())
    assert after(100) == "medium"


@pytest.mark.usefixtures("low")
def test_who_is_told_of_what_is_urgent_is_told_once_it_is(store, after, clock, rows):
    wishes = Wishes(priority=Priority.URGENT)
    add_receiver(store, NewReceiver("lead", "", Address("apprise", "E-Mail", ""), wishes), clock())
    route(store, clock(), lambda _: {})
    after(2)
    route(store, clock(), lambda _: {})
    assert rows(Notification) == []
    after(2)
    route(store, clock(), lambda _: {})
    assert [row["event"] for row in rows(Notification)] == ["alarm.escalated"]


@pytest.mark.usefixtures("low")
def test_two_that_look_at_once_take_one_step(store, clock, at_once, history):
    clock.advance(2 * HOUR_S)
    at_once(*[lambda: escalate(store, clock())] * 3)
    assert [action for _, action, _ in history()] == ["escalated"]


@pytest.mark.usefixtures("low")
def test_the_watch_looks_after_it(store, clock, rows, history, recorder):
    clock.advance(2 * HOUR_S)
    recorder.status()
    AlarmWatch(store, clock).look()
    assert ("the centre", "escalated") in [(who, action) for who, action, _ in history()]


@pytest.mark.usefixtures("low")
def test_a_priority_is_set_by_technicians_of_the_site_and_audited(acting, rows, clock, history):
    elsewhere = Caller("person ben", (Grant(Role.ADMIN, "bremen"), Grant(Role.VIEWER, "hamburg")))
    with pytest.raises(NoSuchAlarmError):
        acting(elsewhere).prioritise(1, Priority.LOW, "why not")
    for _ in range(2):
        acting().prioritise(1, Priority.URGENT, "it smokes")
    assert [action for _, action, _ in history()] == ["prioritised"]
    (alarm,) = rows(Alarm)
    assert [alarm[name] for name in ("priority", "priority_at", "priority_set_by")] == [
        *("urgent", clock(), "person anna")
    ]
    entry = rows(AuditEntry)[-1]
    assert (entry["action"], entry["before"]["priority"], entry["after"]["priority"]) == (
        *("alarm.prioritised", "medium"),
        "urgent",
    )
    acting().resolve(1, "done")
    with pytest.raises(ClosedAlarmError):
        acting().prioritise(1, Priority.LOW, "too late")
