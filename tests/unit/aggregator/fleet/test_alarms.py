"""When a rule raises an alarm and clears it, and which rule applies."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from aggregator.fleet.alarms import Followed, Priority, Rule, applying, follow
from aggregator.fleet.conditions import (
    Condition,
    DueSoon,
    GatewayOffline,
    OutboxNearlyFull,
    PredictionStale,
    QuarantineGrowing,
    RulLow,
    SensorBad,
    Verdict,
)
from aggregator.fleet.due import Life
from aggregator.fleet.liveness import LastStatus, Signs
from aggregator.fleet.rul import Rul
from aggregator.fleet.utilisation import Utilisation

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BAD, BETWEEN, GOOD = Verdict.BAD, Verdict.BETWEEN, Verdict.GOOD
VERDICTS = st.lists(st.sampled_from(Verdict), max_size=60)
LOW = RulLow(below_cycles=20, probability=0.05)


def rul(q05, q50=None, q95=None):
    q50 = q05 + 20 if q50 is None else q50
    return Rul(q50, q05, q50, q50 + 20 if q95 is None else q95, 125.0)


def ago(seconds):
    return NOW - timedelta(seconds=seconds)


def heard(seconds_ago, event="heartbeat"):
    return Signs(LastStatus(event, ago(seconds_ago), 10.0))


@given(VERDICTS, st.integers(1, 5))
def test_raising_and_clearing_take_turns(verdicts, in_a_row):
    turns, _ = follow(verdicts, in_a_row, is_active=False, streak=0)
    assert [turn.is_active for turn in turns] == [index % 2 == 0 for index in range(len(turns))]


@given(VERDICTS, st.integers(1, 5))
def test_each_turn_has_so_many_verdicts_in_a_row_before_it(verdicts, in_a_row):
    for index, is_active in follow(verdicts, in_a_row, is_active=False, streak=0).turns:
        expected = [BAD if is_active else GOOD] * in_a_row
        assert verdicts[index + 1 - in_a_row : index + 1] == expected


@given(VERDICTS, st.integers(1, 5), st.data())
def test_it_does_not_matter_how_records_come_together(verdicts, in_a_row, data):
    at = data.draw(st.integers(0, len(verdicts)))
    whole = follow(verdicts, in_a_row, is_active=False, streak=0)
    first = follow(verdicts[:at], in_a_row, is_active=False, streak=0)
    is_active = bool(first.turns) and first.turns[-1].is_active
    rest = follow(verdicts[at:], in_a_row, is_active=is_active, streak=first.streak)
    moved = [turn._replace(place=turn.place + at) for turn in rest.turns]
    assert Followed(first.turns + moved, rest.streak) == whole


@given(st.lists(st.sampled_from([BAD, BETWEEN]), max_size=30))
def test_between_the_limits_nothing_is_cleared(verdicts):
    assert follow(verdicts, 1, is_active=True, streak=0).turns == []


@pytest.mark.parametrize(
    ("q05", "expected"), [(19.9, BAD), (20.0, BETWEEN), (24.9, BETWEEN), (25.0, GOOD), (-3.0, BAD)]
)
def test_few_cycles_are_left_below_the_limit_and_enough_beyond_the_margin(q05, expected):
    assert LOW.judge(rul(q05)) is expected


@given(st.floats(0.05, 0.95), st.floats(-5, 60), st.floats(0, 60), st.floats(0, 60))
def test_any_probability_between_the_quantiles_can_be_asked_for(probability, q05, to_q50, to_q95):
    one = rul(q05, q05 + to_q50, q05 + to_q50 + to_q95)
    low = RulLow(below_cycles=20, probability=probability, margin_cycles=0)
    if one.q95 < 20:
        assert low.judge(one) is BAD
    elif one.q05 >= 20:
        assert low.judge(one) is GOOD


def test_at_the_models_cap_nobody_says_that_few_are_left():
    low = RulLow(below_cycles=200, probability=0.5)
    assert (low.judge(rul(100, 124.9)), low.judge(rul(100, 125.0))) == (BAD, GOOD)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, GOOD),
        ({"T30": ["missing"]}, BAD),
        ({"T30": ["late", "stuck"]}, BAD),
        ({"T30": ["drift"]}, BAD),
        ({"T30": ["recovering", "spike"]}, GOOD),
        ({"cycle": ["cycle_gap"], "channels": ["unknown"]}, GOOD),
    ],
)
def test_a_sensor_is_bad_where_its_channel_cannot_be_used(flags, expected):
    assert SensorBad().judge(flags) is expected


@pytest.mark.parametrize(
    ("signs", "expected"),
    [
        (heard(1), GOOD),
        (heard(899, "will"), BETWEEN),
        (heard(900, "will"), BAD),
        (heard(900, "stopped"), BAD),
        (heard(924), BETWEEN),  # it was online for 25 s more
        (heard(925), BAD),
        (Signs(), BETWEEN),
    ],
)
def test_a_gateway_is_missed_after_a_while_if_it_was_ever_heard_from(signs, expected):
    assert GatewayOffline().look(signs, NOW).verdict is expected


@pytest.mark.parametrize(("used", "expected"), [(0, GOOD), (70, GOOD), (71, BETWEEN), (79, BETWEEN), (80, BAD)])
def test_an_outbox_is_nearly_full_from_a_part_of_its_capacity_on(used, expected):
    assert OutboxNearlyFull().look(used, 100).verdict is expected
    assert OutboxNearlyFull().look(0, 0).verdict is GOOD


@pytest.mark.parametrize(("waiting", "expected"), [(0, GOOD), (5, GOOD), (6, BETWEEN), (10, BETWEEN), (11, BAD)])
def test_a_quarantine_grows_from_so_many_on(waiting, expected):
    assert QuarantineGrowing().look(waiting).verdict is expected


def test_predictions_are_stale_only_while_the_gateway_is_heard_from():
    stale = PredictionStale(after_s=100)
    seen = [stale.look(ago(age_s), signs, NOW).verdict for age_s in (99, 100) for signs in (heard(1), heard(60))]
    assert seen == [GOOD, BETWEEN, BAD, BETWEEN]


@pytest.mark.parametrize(("days", "expected"), [(13.9, BAD), (14.1, BETWEEN), (15.1, GOOD)])
def test_an_engine_is_due_before_parts_can_be_there(days, expected):
    life = Life(rul(days * 2, days * 2, days * 2), Utilisation(2.0, "measured"), 0, NOW)
    assert DueSoon().look(life, NOW).verdict is expected


def test_of_an_engine_of_which_nobody_can_tell_when_it_is_due_nothing_is_said():
    unknown = Life(rul(1), None, 0, NOW)
    at_cap = Life(rul(125, 125, 125), Utilisation(100.0, "measured"), 0, NOW)
    assert [DueSoon().look(life, NOW).verdict for life in (unknown, at_cap)] == [BETWEEN, BETWEEN]


def test_of_rules_of_one_name_the_narrowest_applies():
    scopes = [("", ""), ("hamburg", ""), ("", "pump"), ("hamburg", "pump")]
    rules = [Rule("low", priority, LOW, *scope) for priority, scope in zip(Priority, scopes, strict=True)]
    found = {
        (site, kind): applying(rules, site, kind)["low"].priority
        for site in ("bremen", "hamburg")
        for kind in ("turbofan", "pump")
    }
    assert list(found.values()) == [Priority.LOW, Priority.HIGH, Priority.MEDIUM, Priority.URGENT]


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "rul_low", "below_cycles": 20, "probability": 0.01},
        {"kind": "rul_low", "below_cycles": 0, "probability": 0.5},
        {"kind": "sensor_bad", "rows": 0},
        {"kind": "fast_decline", "above_cycles_per_cycle": 1},
        {"kind": "quarantine_growing", "above_records": -1},
        {"kind": "gateway_offline", "after_m": 5},
        {"kind": "unknown"},
    ],
)
def test_what_a_condition_does_not_take_is_refused(wrong):
    with pytest.raises(ValidationError):
        TypeAdapter(Condition).validate_python(wrong)
