"""What is decided, withdrawn, given up and forgotten of what receivers are told."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from aggregator.access.roles import Caller, Grant, Role
from aggregator.fleet.notifying import GIVE_UP_AFTER, Wishes
from aggregator.store import notifications
from aggregator.store.alarm_actions import Acting
from aggregator.store.notifications import (
    forget_old,
    has_work,
    mark_failed,
    mark_refused,
    mark_sent,
    receivers_due,
    route,
    send_again,
    take_due,
)
from aggregator.store.receivers import (
    Address,
    NewReceiver,
    NoSuchReceiverError,
    ReceiverChange,
    add_receiver,
    change_receiver,
    delete_receiver,
    list_receivers,
)
from aggregator.store.registry import RegistryError
from aggregator.store.tables import AlarmChange, AuditEntry, Notification, Receiver, core

on_sqlite = pytest.mark.parametrize("dialect", ["sqlite"])  # what no database does in its own way
MAIL = Address("apprise", "E-Mail", "sealed")
HOOK = Address("cloudevents", "https://cmms.example.org", "sealed")


@pytest.fixture
def add(store, clock):
    def make(name="team", site="", address=MAIL, **wishes):
        return add_receiver(store, NewReceiver(name, site, address, Wishes(**wishes)), clock())

    return make


@pytest.fixture
def wear_out(recorder):
    """Raise two alarms of each engine: urgent and medium."""

    def make(*serials, **place):
        for serial in serials:
            recorder.engine(serial, **place)
            recorder.send(*(recorder.prediction(serial, cycle, q50=10.0) for cycle in (2, 3, 4)), **place)

    return make


@pytest.fixture
def decide(store, clock):
    return lambda: route(store, clock(), lambda row: {"serial": row.serial})


@pytest.fixture
def due(store, clock):
    return lambda receiver_id: take_due(store, receiver_id, clock())


def _states(rows):
    return [(row["event"], row["state"]) for row in sorted(rows(Notification), key=lambda row: row["id"])]


def test_each_change_is_decided_once_for_each_who_wants_it(add, wear_out, decide, rows, store, clock):
    everything, urgent = add("all"), add("urgent", priority="urgent")
    add("bremen", site="bremen")
    wear_out("E1")
    with store.session() as session:
        assert has_work(session, clock())
    assert (decide(), decide()) == (2, 0)
    told = rows(Notification)
    assert sorted(row["receiver_id"] for row in told) == [everything, everything, urgent]
    assert len({row["event_id"] for row in told}) == 3
    assert {row["content"]["alarm"]["serial"] for row in told} == {"E1"}
    assert all(change["is_routed"] for change in rows(AlarmChange))


@on_sqlite
def test_a_receiver_that_a_newer_program_has_written_is_left_to_that(add, wear_out, decide, due, store):
    newer, team = add("newer"), add()
    with store.writing() as connection:
        connection.execute(update(core(Receiver)).where(core(Receiver).c.id == newer).values(wishes={"moon": "full"}))
    wear_out("E1")
    assert decide() == 2
    assert (due(newer), len(due(team).notifications)) == (None, 2)
    with store.session() as session:
        assert [row.name for row in list_receivers(session, None)] == ["team"]


@on_sqlite
def test_what_was_before_a_receiver_is_not_told(add, wear_out, decide, rows):
    wear_out("E1")
    assert decide() == 2
    add()
    assert (decide(), rows(Notification)) == (0, [])


def test_two_that_decide_at_once_decide_nothing_twice(add, wear_out, decide, rows, at_once):
    add()
    wear_out("E1", "E2")
    assert sum(at_once(decide, decide)) == 4
    assert len(rows(Notification)) == 4


@on_sqlite
def test_people_get_many_in_one_message_and_machines_each_event(add, wear_out, decide, due):
    people, machine = add("people"), add("machine", address=HOOK)
    wear_out("E1", "E2")
    decide()
    assert [len(due(receiver).notifications) for receiver in (people, machine)] == [4, 1]


@on_sqlite
def test_a_digest_holds_what_is_not_urgent_and_goes_out_as_one(add, wear_out, decide, due, store, clock):
    team = add(digest_s=600)
    wear_out("E1")
    decide()
    assert [row.content["change"]["action"] for row in due(team).notifications] == ["raised"]
    mark_sent(store, due(team), clock())
    clock.advance(300)
    wear_out("E2")
    decide()
    mark_sent(store, due(team), clock())
    assert due(team) is None
    clock.advance(300)
    assert [row.content["alarm"]["serial"] for row in due(team).notifications] == ["E1", "E2"]


@on_sqlite
def test_what_was_shelved_before_it_was_due_is_withdrawn(add, wear_out, decide, due, store, clock, rows):
    team = add(digest_s=600, at_once=None)
    wear_out("E1")
    decide()
    Acting(store, clock()).shelve(1, clock.in_(3600))
    Acting(store, clock()).shelve(2, clock.in_(600))
    clock.advance(600)
    assert [row.alarm_id for row in due(team).notifications] == [2]
    assert [(row["state"], row["error"]) for row in rows(Notification) if row["alarm_id"] == 1] == [
        ("withdrawn", "the alarm was shelved before")
    ]


@on_sqlite
@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda acting: None, [1, 2]),
        (lambda acting: acting.acknowledge(1), [2]),
        (lambda acting: acting.resolve(2, "replaced"), [1]),
        (lambda acting: acting.acknowledge_all([1, 2]), None),
    ],
)
def test_the_second_in_line_is_told_what_nobody_acknowledged(add, wear_out, decide, due, store, clock, act, told):
    boss = add("boss", unacknowledged_for_s=900)
    wear_out("E1")
    decide()
    assert due(boss) is None
    act(Acting(store, clock()))
    clock.advance(900)
    found = due(boss)
    assert (None if found is None else [row.alarm_id for row in found.notifications]) == told


def test_a_failure_pauses_the_receiver_and_a_day_of_them_gives_up(add, wear_out, decide, due, store, clock, rows):
    team = add()
    wear_out("E1")
    decide()
    assert mark_failed(store, due(team), clock(), "refused", 60) == 0
    assert due(team) is None
    with store.session() as session:
        assert receivers_due(session, clock.in_(59)) == []
        assert receivers_due(session, clock.in_(60)) == [team]
    clock.at += GIVE_UP_AFTER
    wear_out("E2")
    decide()
    assert mark_failed(store, due(team), clock(), "refused", 60) == 2
    assert [row["state"] for row in rows(Notification)].count("dead") == 2
    (receiver,) = rows(Receiver)
    assert (receiver["failures"], receiver["problem"]) == (2, "refused")
    clock.advance(60)
    mark_sent(store, due(team), clock())
    (receiver,) = rows(Receiver)
    assert (receiver["failures"], receiver["paused_until"], receiver["problem"]) == (0, None, None)


@on_sqlite
def test_an_event_that_always_fails_holds_up_no_other(add, wear_out, decide, due, store, clock):
    machine = add("machine", address=HOOK)
    wear_out("E1", "E2")
    decide()
    poison, sent = due(machine).notifications[0].id, set()
    while len(sent) < 3:
        clock.advance(5)
        (row,) = (found := due(machine)).notifications
        if row.id == poison:
            mark_failed(store, found, clock(), "answered 500")
        else:
            sent.add(row.id)
            mark_sent(store, found, clock())
        assert clock.at.hour == 12, "the others were sent within the hour"


def test_what_was_given_up_is_sent_again_by_who_may(add, wear_out, decide, due, store, clock, rows):
    team, elsewhere = add(site="hamburg"), add("elsewhere")
    wear_out("E1")
    decide()
    for receiver in (team, elsewhere):
        mark_refused(store, due(receiver), clock(), "answered 404")
    ids = {row["id"]: row["event_id"] for row in rows(Notification)}
    anna = Caller("person anna", (Grant(Role.ADMIN, "hamburg"),))
    clock.at += timedelta(days=3)
    again = send_again(store, ids, clock(), by=anna)
    assert [row.id for row in due(team).notifications] == again
    assert {row.event_id for row in due(team).notifications} == {ids[each] for each in again}
    assert due(elsewhere) is None
    assert send_again(store, again, clock(), by=anna) == []
    assert mark_failed(store, due(team), clock(), "refused") == 0
    told = [(row["who"], row["site"]) for row in rows(AuditEntry) if row["action"] == "notification.send_again"]
    assert told == [("person anna", "hamburg")] * 2


@on_sqlite
def test_a_flood_that_nobody_takes_is_bounded(add, wear_out, decide, rows, monkeypatch):
    monkeypatch.setattr(notifications, "WAITING_MAX", 3)
    add()
    wear_out("E1", "E2")
    decide()
    assert [state for _, state in _states(rows)] == ["dead", "waiting", "waiting", "waiting"]


def test_what_is_over_is_forgotten_dead_ones_last(add, wear_out, decide, due, store, clock, counts):
    team, machine = add(), add("machine", address=HOOK, priority="urgent")
    wear_out("E1")
    decide()
    mark_sent(store, due(team), clock())
    mark_refused(store, due(machine), clock(), "answered 410")
    assert forget_old(store, clock.in_(6 * 86_400)) == 0
    assert forget_old(store, clock.in_(8 * 86_400)) == 2
    assert forget_old(store, clock.in_(31 * 86_400)) == 1
    assert counts(Notification) == [0]


def test_a_receiver_that_is_disabled_or_deleted_waits_for_nothing(add, wear_out, decide, due, store, clock, rows):
    team, other = add(), add("other")
    wear_out("E1")
    decide()
    change_receiver(store, team, ReceiverChange(Wishes(), is_enabled=False), clock())
    delete_receiver(store, other, clock())
    assert {(row["receiver_id"], row["state"]) for row in rows(Notification)} == {(team, "withdrawn")}
    assert (due(team), due(other)) == (None, None)
    change_receiver(store, team, ReceiverChange(Wishes(), is_enabled=True), clock())
    assert due(team) is None


def test_no_secret_is_in_the_audit_log_and_no_name_twice(add, store, clock, rows):
    team = add(site="hamburg")
    with pytest.raises(RegistryError, match="team already"):
        add()
    change_receiver(store, team, ReceiverChange(Wishes(), True, Address("apprise", "Slack", "other")), clock())
    delete_receiver(store, team, clock())
    entries = [row for row in rows(AuditEntry) if row["action"].startswith("receiver.")]
    assert [(row["action"], row["site"]) for row in entries] == [
        *(("receiver.add", "hamburg"), ("receiver.edit", "hamburg"), ("receiver.delete", "hamburg"))
    ]
    assert entries[1]["after"]["url"] == "changed"
    assert not any("sealed" in str(row["before"]) + str(row["after"]) for row in entries)


@on_sqlite
def test_an_admin_of_elsewhere_finds_no_receiver(add, store, clock):
    team = add(site="hamburg")
    stranger = Caller("person bob", (Grant(Role.ADMIN, "bremen"), Grant(Role.ENGINEER, "hamburg")))
    with pytest.raises(NoSuchReceiverError):
        delete_receiver(store, team, clock(), by=stranger)
    with pytest.raises(NoSuchReceiverError):
        change_receiver(store, team, ReceiverChange(Wishes(), is_enabled=False), clock(), by=stranger)
