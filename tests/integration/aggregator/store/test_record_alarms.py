"""Alarms by records: raised and cleared with the records that give the reason, once, and not by the past."""

from itertools import count, pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, text
from sqlalchemy.exc import IntegrityError

from aggregator.fleet.alarms import DEFAULT_RULES, Priority, Rule
from aggregator.fleet.conditions import RulLow
from aggregator.store import commit as committing
from aggregator.store.alarm_rules import add_rule, delete_rule, list_rules
from aggregator.store.alarms import OpenAlarms, Subject
from aggregator.store.commit import against_races, commit
from aggregator.store.installations import NewInstallation, install, remove
from aggregator.store.registry import RegistryError
from aggregator.store.tables import Alarm, AlarmChange, AlarmRule, CurrentState, core
from shared.messages import ModelRef

CRITICAL = next(rule for rule in DEFAULT_RULES if rule.name == "rul-critical")


@pytest.fixture(autouse=True)
def _registered(recorder):
    recorder.register("E1")


@pytest.fixture
def alarms(rows):
    """Of a rule: whether each of its alarms is active, and how often it was raised."""

    def read(rule="rul-critical"):
        found = sorted((row for row in rows(Alarm) if row["rule"] == rule), key=lambda row: row["id"])
        return [(row["cleared_at"] is None, row["times_raised"]) for row in found]

    return read


@pytest.fixture
def predict(recorder):
    """Send predictions of some q05, one envelope each; cycles go on."""
    cycles = iter(range(1, 10_000))

    def send(*q05s, together=False):
        records = [recorder.prediction("E1", next(cycles), q50=q05 + 80.0, spread=80.0) for q05 in q05s]
        for part in [records] if together else [[record] for record in records]:
            recorder.send(*part)

    return send


def test_a_new_store_has_the_default_rules(store):
    with store.session() as session:
        found = [one.rule for one in list_rules(session, None)]
    assert found == sorted(DEFAULT_RULES, key=lambda rule: rule.name)


@pytest.mark.parametrize("together", [False, True])
def test_three_predictions_in_a_row_raise_and_clear(predict, alarms, together):
    predict(19, 19, 30, 19, 19, together=together)
    assert alarms() == []
    predict(19)
    assert alarms() == [(True, 1)]
    predict(24, 30, 24, 30, 30, together=together)
    assert alarms() == [(True, 1)]
    predict(30)
    assert alarms() == [(False, 1)]


def test_what_is_said_of_it(predict, rows, clock):
    predict(30, 19, 18)
    clock.advance(60)
    predict(17)
    (alarm,) = rows(Alarm)
    assert alarm["reason"] == "with a probability of 5 % no more than 17.0 cycles are left; the limit is 20"
    assert (alarm["cycle"], alarm["raised_at"], alarm["priority"]) == (4, clock(), "urgent")
    assert [(row["who"], row["action"]) for row in rows(AlarmChange)] == [("the centre", "raised")]


def test_one_that_is_open_is_raised_once_more_and_not_twice(predict, alarms, rows):
    for _ in range(3):
        predict(10, 10, 10, 30, 30, 30)
    assert alarms() == [(False, 3)]
    assert [row["action"] for row in rows(AlarmChange)] == ["raised", "cleared"] * 3


def test_a_past_that_comes_late_raises_nothing(deliver, recorder, alarms):
    now = {seq: recorder.prediction("E1", seq, q50=110.0) for seq in range(10, 13)}
    deliver(now)
    deliver({seq: recorder.prediction("E1", seq, q50=25.0) for seq in range(1, 9)})
    assert alarms() == []


def test_a_good_past_that_comes_late_clears_nothing(deliver, recorder, alarms):
    deliver({seq: recorder.prediction("E1", seq, q50=25.0) for seq in range(10, 13)})
    deliver({seq: recorder.prediction("E1", seq, q50=110.0) for seq in range(1, 9)})
    assert alarms() == [(True, 1)]


def test_after_an_outage_the_backlog_has_what_the_latest_alone_is_too_little_for(deliver, recorder, alarms, rows):
    low = {seq: recorder.prediction("E1", seq, q50=25.0) for seq in range(1, 21)}
    deliver({20: low[20]})
    deliver({19: low[19]})
    assert alarms() == []
    deliver({seq: low[seq] for seq in range(1, 19)})
    assert alarms() == [(True, 1)]
    assert next(row["cycle"] for row in rows(Alarm) if row["rule"] == "rul-critical") == 20
    well = {seq: recorder.prediction("E1", seq, q50=110.0) for seq in range(21, 31)}
    deliver({30: well[30]})
    assert alarms() == [(True, 1)]
    deliver({seq: well[seq] for seq in range(21, 30)})
    assert alarms() == [(False, 1)]


def test_a_backlog_that_says_otherwise_than_the_latest_turns_nothing(deliver, recorder, alarms):
    deliver({20: recorder.prediction("E1", 20, q50=25.0)})
    deliver({seq: recorder.prediction("E1", seq, q50=110.0 if seq == 19 else 25.0) for seq in range(1, 20)})
    assert alarms() == []


def test_rows_that_come_late_are_looked_back_on_too(deliver, recorder, alarms):
    flagged = {seq: recorder.row("E1", seq, flags={"T24": ["stuck"]}) for seq in range(1, 21)}
    deliver({20: flagged[20]})
    deliver({seq: flagged[seq] for seq in range(1, 20)})
    assert alarms("sensor-bad") == [(True, 1)]


def test_what_somebody_asked_for_raises_nothing(recorder, alarms):
    for number in range(5):
        recorder.send(recorder.prediction("E1", 1, q50=5.0, origin="command", request_id=f"r-{number}"))
    assert alarms() == []


def test_repeats_count_once(recorder, predict, alarms):
    predict(10, 10)
    recorder.restart()
    recorder.send(*(recorder.prediction("E1", cycle, q50=90.0, spread=80.0) for cycle in (1, 2)))
    assert alarms() == []
    predict(10)
    assert alarms() == [(True, 1)]


def test_an_alarm_goes_on_where_the_engine_is_installed_next(store, recorder, predict, alarms, clock):
    predict(10, 10, 10)
    clock.advance(10)
    remove(store, "E1", clock(), clock())
    recorder.register("other", gateway="gw-2")
    install(store, NewInstallation("E1", "gw-2", "left", clock()), clock())
    for cycle in (1, 2):
        recorder.send(recorder.prediction("E1", cycle, q50=110.0), gateway="gw-2")
    assert alarms() == [(True, 1)]
    recorder.send(recorder.prediction("E1", 3, q50=110.0), gateway="gw-2")
    assert alarms() == [(False, 1)]


def test_ten_rows_with_an_unusable_channel_raise_one(recorder, alarms, rows):
    flagged = {"T24": ["stuck"], "cycle": ["cycle_gap"]}
    recorder.send(*(recorder.row("E1", cycle, flags=flagged) for cycle in range(1, 10)))
    assert alarms("sensor-bad") == []
    recorder.send(recorder.row("E1", 10, flags=flagged))
    assert alarms("sensor-bad") == [(True, 1)]
    assert rows(Alarm)[0]["reason"] == "T24 stuck"
    recorder.send(*(recorder.row("E1", cycle) for cycle in range(11, 21)))
    assert alarms("sensor-bad") == [(False, 1)]


@pytest.fixture
def wear(recorder):
    """Have medians fall by so much per cycle from some cycle and median on, one envelope each or together."""

    def send(cycles, q50, per_cycle, *, together=False, **fields):
        records = [
            recorder.prediction("E1", cycle, q50=max(1.0, q50 - per_cycle * place), spread=1.0, **fields)
            for place, cycle in enumerate(cycles)
        ]
        for part in [records] if together else [[record] for record in records]:
            recorder.send(*part)

    return send


@pytest.mark.parametrize("together", [False, True])
def test_an_engine_that_wears_faster_than_it_flies(wear, alarms, rows, together):
    wear(range(1, 60), 124, 0, together=together)
    wear(range(60, 84), 121, 3, together=together)
    # At the default of 2.5 over 30 cycles: 3 each from 124 on are too fast after 26 of them, and thrice in a row.
    assert alarms("fast-decline") == []
    wear(range(84, 88), 49, 3, together=together)
    assert alarms("fast-decline") == [(True, 1)]
    (alarm,) = [row for row in rows(Alarm) if row["rule"] == "fast-decline"]
    assert (alarm["cycle"], alarm["priority"]) == (87, "high")
    assert alarm["reason"] == "the median fell by 84 cycles while 30 were flown; the limit is 2.5 for each"
    wear(range(88, 120), 38, 0, together=together)
    assert alarms("fast-decline") == [(False, 1)]


def test_an_engine_that_wears_as_it_flies_is_healthy(wear, alarms, rows):
    wear(range(1, 120), 124, 1, together=True)
    wear(range(120, 124), 5, 1)
    assert alarms("fast-decline") == []
    assert "fast-decline" not in (rows(CurrentState)[0]["alarm_streaks"] or {})


def test_where_cycles_lack_it_goes_by_those_that_are_there(wear, alarms):
    wear(range(1, 60, 3), 124, 0, together=True)
    wear(range(60, 84, 2), 121, 6, together=True)
    assert alarms("fast-decline") == []
    wear(range(88, 94, 2), 37, 6)
    assert alarms("fast-decline") == [(True, 1)]


def test_another_model_that_says_less_is_no_decline(wear, alarms):
    wear(range(1, 40), 120, 0)
    wear(range(40, 60), 30, 0, model=ModelRef(name="turbofan", version="2.0.0", sha256="cd" * 32))
    assert alarms("fast-decline") == []


def test_after_an_outage_a_decline_is_seen_once_the_backlog_is_there(deliver, recorder, alarms):
    worn = {seq: recorder.prediction("E1", seq, q50=max(10.0, 124.0 - 3 * seq), spread=1.0) for seq in range(1, 38)}
    deliver({seq: worn[seq] for seq in range(1, 11)})
    deliver({36: worn[36]})
    deliver({seq: worn[seq] for seq in range(11, 36)})
    assert alarms("fast-decline") == [(True, 1)]


def test_a_quiet_fleet_keeps_no_count(recorder, rows, predict):
    recorder.send(recorder.row("E1", 1))
    predict(60, 60)
    assert rows(CurrentState)[0]["alarm_streaks"] is None
    predict(19)
    assert rows(CurrentState)[0]["alarm_streaks"] == {"rul-critical": 1}
    predict(60)
    assert rows(CurrentState)[0]["alarm_streaks"] is None


def test_a_rule_for_the_site_goes_before_that_for_all(store, predict, alarms, clock):
    off = Rule("rul-critical", Priority.URGENT, CRITICAL.condition, site="hamburg", is_enabled=False)
    rule_id = add_rule(store, off, clock())
    predict(10, 10, 10)
    assert alarms() == []
    delete_rule(store, rule_id, clock())
    predict(10, 10, 10)
    assert alarms() == [(True, 1)]


def test_rules_of_one_name_are_of_one_scope_each_and_of_one_kind(store, clock):
    again = Rule("rul-critical", Priority.LOW, RulLow(below_cycles=5, probability=0.5))
    with pytest.raises(RegistryError, match="of this scope already"):
        add_rule(store, again, clock())
    gateway = next(rule for rule in DEFAULT_RULES if rule.name == "gateway-offline")
    with pytest.raises(RegistryError, match="is of kind rul_low in another scope"):
        add_rule(store, Rule("rul-critical", Priority.LOW, gateway.condition, site="hamburg"), clock())


def test_a_rule_that_a_newer_program_has_written_stops_no_record(store, predict, alarms):
    with store.writing() as connection:
        connection.execute(core(AlarmRule).update().where(core(AlarmRule).c.name == "rul-low").values(priority="panic"))
    predict(10, 10, 10)
    assert (alarms("rul-low"), alarms()) == ([], [(True, 1)])


def test_two_that_raise_the_same_alarm_at_once_raise_one(store, clock, at_once, alarms):
    subject = Subject(engine_id=1)

    def raise_it():
        def work(connection, _):
            OpenAlarms(connection, engine_ids=[1]).raise_(CRITICAL, subject, clock(), "why")

        against_races(store, work)

    at_once(*[raise_it] * 4)
    assert alarms() == [(True, 1)]


def test_no_statement_can_open_a_second_one(store, predict):
    predict(10, 10, 10)
    copied = "rule, kind, priority, engine_id, reason, raised_at, times_raised"
    with pytest.raises(IntegrityError), store.writing() as connection:
        connection.execute(text(f"INSERT INTO alarm ({copied}) SELECT {copied} FROM alarm WHERE rule = 'rul-critical'"))


def test_two_replicas_that_take_parts_of_a_stream_at_once_raise_one(store, envelope, recorder, at_once, alarms):
    parts = [
        envelope({seq: recorder.prediction("E1", seq, q50=25.0) for seq in range(first, first + 5)})
        for first in (1, 6, 11, 16)
    ]
    at_once(*[lambda part=part: commit(store, [part]) for part in parts])
    assert alarms() == [(True, 1)]


def test_an_alarm_is_there_with_its_record_or_not_at_all(store, envelope, recorder, alarms, counts, monkeypatch):
    """As after kill -9 between the writing and the commit: what was not committed comes again, and raises it once."""
    message = envelope({seq: recorder.prediction("E1", seq, q50=25.0) for seq in range(1, 4)})

    class Killed(BaseException):
        pass

    written = committing.write

    def killed(*arguments, **named):
        written(*arguments, **named)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(committing, "write", killed)
        with pytest.raises(Killed):
            commit(store, [message])
    assert counts(Alarm, AlarmChange, CurrentState) == [0, 0, 0]
    commit(store, [message])
    commit(store, [message])
    assert alarms() == [(True, 1)]


NUMBERS = count()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    q05s=st.lists(st.sampled_from([10.0, 22.0, 60.0]), min_size=1, max_size=25),
    cuts=st.sets(st.integers(2, 25)),
    again=st.lists(st.integers(0, 24), max_size=4),
)
def test_however_records_come_together_and_again_the_alarms_are_the_same(
    store, deliver, recorder, alarms, q05s, cuts, again
):
    def play(edges, again):
        """What became of the alarms, if the records come in portions from edge to edge, and some of these again."""
        number = next(NUMBERS)
        with store.writing() as connection:
            for table in (AlarmChange, Alarm, CurrentState):
                connection.execute(delete(core(table)))
        records = [
            recorder.prediction("E1", number * 100 + at, q50=q05 + 80, spread=80.0) for at, q05 in enumerate(q05s, 1)
        ]
        portions = [dict(enumerate(records[begin - 1 : end - 1], begin)) for begin, end in pairwise(edges)]
        for portion in [*portions, *(portions[place % len(portions)] for place in again)]:
            deliver(portion, stream=f"stream-{number}")
        assert len(alarms()) <= 1
        with store.engine.connect() as connection:
            return connection.scalars(select(core(AlarmChange).c.action).order_by(core(AlarmChange).c.id)).all()

    end = len(q05s) + 1
    assert play([1, *sorted(cut for cut in cuts if cut < end), end], again) == play([1, end], [])
