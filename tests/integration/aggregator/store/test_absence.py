"""Alarms that no record tells of, raised and cleared by whoever looks."""

import threading

import pytest
from sqlalchemy import func, select

from aggregator.alarm_watch import TASK, AlarmWatch
from aggregator.fleet.alarms import Priority, Rule
from aggregator.fleet.conditions import GatewayOffline
from aggregator.store import portions
from aggregator.store.absence import look_at_engines, look_at_gateways
from aggregator.store.alarm_rules import add_rule, delete_rule, list_rules, replace_rule
from aggregator.store.arrivals import StatusArrival
from aggregator.store.commit import commit
from aggregator.store.lease import take_lease
from aggregator.store.registry import edit_engine
from aggregator.store.tables import Alarm, AlarmRule, Quarantine, core
from shared.messages import OutboxStatus, Session, SourceStatus, Status
from shared.topics import GatewayTopic

DAY_S = 86_400


@pytest.fixture
def look(store, clock, rows):
    """Look, and say which alarms are active."""

    def run():
        look_at_gateways(store, clock())
        look_at_engines(store, clock())
        return sorted(row["rule"] for row in rows(Alarm) if row["cleared_at"] is None)

    return run


@pytest.fixture
def heartbeat(store, clock):
    def send(used_bytes=0, event="heartbeat"):
        status = Status(
            event=event,
            session=Session(counter=1, boot_nonce="n"),
            stream_id="s",
            next_seq=1,
            sent_at=clock(),
            heartbeat_interval_s=10.0,
            agent_version="0.1.0",
            engines=[],
            source=SourceStatus(kind="file", state="reading"),
            outbox=OutboxStatus(used_bytes=used_bytes, capacity_bytes=1000),
        )
        commit(store, [StatusArrival(GatewayTopic("hamburg", "gw-1", "status"), status, clock())])

    return send


def test_where_all_is_well_nothing_is_raised(look, recorder, heartbeat):
    recorder.engine("E1")
    heartbeat()
    assert look() == []


def test_a_gateway_that_was_never_heard_from_is_not_missed(look, recorder, clock):
    recorder.register("E1")
    clock.advance(30 * DAY_S)
    assert look() == []


def test_a_silent_gateway_is_missed_after_a_quarter_of_an_hour_until_it_is_heard_again(
    look, recorder, heartbeat, clock, rows
):
    recorder.register("E1")
    heartbeat(event="birth")
    clock.advance(25 + 899)
    assert look() == []
    clock.advance(1)
    assert look() == look() == ["gateway-offline"]
    (alarm,) = rows(Alarm)
    assert (alarm["gateway_id"], alarm["engine_id"], alarm["reason"]) == (
        1,
        None,
        "heartbeat 15 min late, and no record yet",
    )
    heartbeat()
    assert look() == []
    assert rows(Alarm)[0]["cleared_at"] == clock()


def test_an_outbox_that_fills_up(look, recorder, heartbeat):
    recorder.register("E1")
    found = []
    for used_bytes in (799, 800, 750, 700):
        heartbeat(used_bytes)
        found.append(look())
    assert found == [[], ["outbox-nearly-full"], ["outbox-nearly-full"], []]


def test_what_a_gateway_sends_and_nobody_can_use_piles_up(look, recorder, heartbeat, clock, store, rows):
    recorder.register("E1")
    found, bodies = [], iter(range(100))
    for number, later_s in ((10, 0), (1, 0), (0, DAY_S + 1)):
        for _ in range(number):
            recorder.garbage(f"no JSON {next(bodies)}".encode())
        recorder.garbage(f"no JSON {next(bodies)}".encode(), gateway="gw-unknown")
        clock.advance(later_s)
        heartbeat()
        found.append("quarantine-growing" in look())
    assert found == [False, True, False]
    assert rows(Alarm)[0]["reason"] == "11 messages and records set aside within 24 h wait in the quarantine"


def test_what_was_redriven_or_deleted_waits_no_more(look, recorder, heartbeat, store):
    recorder.register("E1")
    heartbeat()
    recorder.send(*(recorder.row("E9", cycle) for cycle in range(1, 12)))
    assert look() == ["quarantine-growing"]
    with store.writing() as connection:
        connection.execute(core(Quarantine).delete().where(core(Quarantine).c.id > 5))
    assert look() == []


def test_an_engine_that_gives_no_predictions_though_its_gateway_is_heard_from(look, recorder, heartbeat, clock, store):
    recorder.engine("E1")
    clock.advance(DAY_S)
    assert look() == ["gateway-offline"]
    heartbeat()
    assert look() == ["prediction-stale"]
    edit_engine(store, "E1", {"status": "maintenance"}, clock())
    assert look() == []


def test_an_engine_that_is_due_before_parts_can_be_there(look, recorder, heartbeat, store, clock):
    recorder.engine("E1", q50=80.0)
    heartbeat()
    edit_engine(store, "E1", {"cycles_per_day": 2.0}, clock())
    assert look() == []
    edit_engine(store, "E1", {"cycles_per_day": 10.0}, clock())
    assert look() == ["due-inside-lead-time"]


def test_what_no_rule_applies_to_any_more_is_cleared(look, recorder, heartbeat, store, clock, rows):
    recorder.engine("E1")
    recorder.send(*(recorder.prediction("E1", cycle, q50=5.0) for cycle in (2, 3, 4)))
    heartbeat(event="birth")
    assert look() == ["rul-critical", "rul-low"]
    with store.session() as session:
        found = {one.rule.name: one.row.id for one in list_rules(session, None)}
    delete_rule(store, found["rul-low"], clock())
    assert look() == ["rul-critical"]
    edit_engine(store, "E1", {"status": "retired"}, clock())
    assert look() == []
    assert all(row["closed_at"] is None for row in rows(Alarm))


def test_alarms_of_a_rule_that_a_newer_program_has_written_are_left_to_it(look, recorder, heartbeat, store):
    recorder.engine("E1")
    recorder.send(*(recorder.prediction("E1", cycle, q50=40.0, spread=1.0) for cycle in (2, 3, 4)))
    heartbeat()
    with store.writing() as connection:
        rule = core(AlarmRule)
        connection.execute(rule.update().where(rule.c.name == "rul-low").values(condition={"kind": "rul_falling"}))
    assert look() == ["rul-low"]


def test_a_rule_of_a_site_and_one_that_is_edited_count_at_once(look, recorder, heartbeat, store, clock):
    recorder.register("E1")
    heartbeat()
    clock.advance(100)
    wanted = Rule("gateway-offline", Priority.LOW, GatewayOffline(after_s=60), site="hamburg")
    rule_id = add_rule(store, wanted, clock())
    assert look() == ["gateway-offline"]
    replace_rule(
        store, rule_id, lambda _: Rule(wanted.name, wanted.priority, wanted.condition, "hamburg", "", False), clock()
    )
    assert look() == []


def test_two_that_look_at_once_raise_each_alarm_once(store, recorder, heartbeat, clock, at_once, rows):
    for number in range(30):
        recorder.register(f"E{number}", gateway=f"gw-{number}")
        recorder.status("birth", gateway=f"gw-{number}")
    clock.advance(10_000)
    at_once(*[lambda: look_at_gateways(store, clock())] * 3)
    assert [row["times_raised"] for row in rows(Alarm)] == [1] * 30


def test_who_does_not_hold_the_lease_does_not_look(store, recorder, clock, rows):
    recorder.register("E1")
    recorder.status("birth")
    clock.advance(10_000)
    take_lease(store, TASK, "another", clock())
    AlarmWatch(store, clock).look()
    assert rows(Alarm) == []
    clock.advance(601)
    AlarmWatch(store, clock).look()
    assert len(rows(Alarm)) == 1


def test_a_holder_that_died_is_followed_within_a_minute(store, recorder, clock, rows):
    recorder.register("E1")
    recorder.status("birth")
    AlarmWatch(store, clock).look()
    clock.advance(59)
    assert not take_lease(store, TASK, "another", clock())
    clock.advance(2)
    assert take_lease(store, TASK, "another", clock())


def test_engines_are_looked_at_once_a_minute(store, recorder, clock, rows):
    recorder.engine("E1", q50=80.0)
    recorder.status()
    watch = AlarmWatch(store, clock)
    watch.look()
    edit_engine(store, "E1", {"cycles_per_day": 10.0}, clock())
    found = []
    for _ in range(2):
        clock.advance(30)
        watch.look()
        found.append([row["rule"] for row in rows(Alarm)])
    assert found == [[], ["due-inside-lead-time"]]


def test_who_writes_meanwhile_gets_a_turn_between_portions(store, recorder, heartbeat, clock, monkeypatch):
    """SQLite gives the lock to whoever asks first: a loop that asks at once again would keep everybody else out."""
    monkeypatch.setattr(portions, "PORTION", 1)
    for number in range(8):
        recorder.engine(f"E{number}")
    clock.advance(2 * DAY_S)
    heartbeat()
    looking, others_turns = threading.Event(), []

    def write_again_and_again():
        looking.wait(60)
        while looking.is_set():
            with store.writing() as connection:
                others_turns.append(connection.execute(select(func.count()).select_from(core(Alarm))).scalar_one())

    other = threading.Thread(target=write_again_and_again)
    other.start()
    looking.set()
    raised = look_at_engines(store, clock())
    looking.clear()
    other.join()
    assert raised >= 4
    assert len(set(others_turns) & set(range(1, raised))) >= raised // 2
