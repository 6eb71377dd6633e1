"""What people do about alarms, and which of them a list shows."""

import pytest

from aggregator.access.roles import Caller, Grant, Role
from aggregator.fleet.alarms import Priority
from aggregator.fleet.conditions import RulLow
from aggregator.store.absence import look_at_gateways
from aggregator.store.alarm_actions import Acting, ClosedAlarmError, NoSuchAlarmError
from aggregator.store.reads.alarm_simulation import Limit, Wanted, simulate
from aggregator.store.reads.alarms import AlarmFilter, list_alarms
from aggregator.store.tables import Alarm, AlarmChange, AuditEntry


@pytest.fixture(autouse=True)
def _raised(store, recorder, clock):
    """Of one engine, at hamburg, two alarms (1 and 2); of a gateway, at bremen, one (3)."""
    recorder.engine("E1")
    recorder.send(*(recorder.prediction("E1", cycle, q50=10.0) for cycle in (2, 3, 4)))
    recorder.register("E2", gateway="gw-b", site="bremen")
    recorder.status(gateway="gw-b", site="bremen")
    clock.advance(1000)
    recorder.status()
    look_at_gateways(store, clock())


@pytest.fixture
def acting(store, clock):
    return Acting(store, clock())


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (AlarmFilter(), [3, 2, 1]),
        (AlarmFilter(priority=Priority.URGENT), [1]),
        (AlarmFilter(kind="gateway_offline"), [3]),
        (AlarmFilter(site="bremen"), [3]),
        (AlarmFilter(engine="E1", state="active"), [2, 1]),
        (AlarmFilter(gateway="gw-b", state="open"), [3]),
        (AlarmFilter(gateway="gw-1"), []),
        (AlarmFilter(state="cleared"), []),
        (AlarmFilter(state="closed"), []),
        (AlarmFilter(is_acknowledged=False), [3, 2, 1]),
        (AlarmFilter(is_acknowledged=True), []),
    ],
)
def test_a_list_shows_what_is_wanted(store, wanted, expected):
    with store.session() as session:
        assert [row.alarm.id for row in list_alarms(session, None, wanted)] == expected
        assert [row.alarm.id for row in list_alarms(session, None, wanted, after=(0, 3), limit=1)] == [
            each for each in expected if each < 3
        ][:1]
        assert list_alarms(session, frozenset({"elsewhere"}), wanted) == []


def test_what_is_shelved_is_told_apart_by_the_time(store, acting, clock):
    acting.shelve(1, clock.in_(60))

    def shown(is_shelved, at):
        with store.session() as session:
            return [row.alarm.id for row in list_alarms(session, None, AlarmFilter(is_shelved_at=(is_shelved, at)))]

    found = [shown(is_shelved, clock.in_(later)) for later in (0, 60) for is_shelved in (True, False)]
    assert found == [[1], [3, 2], [], [3, 2, 1]]


def test_a_gateway_that_is_heard_again_closes_what_was_acknowledged(store, acting, recorder, clock, rows):
    acting.acknowledge(3)
    recorder.status(gateway="gw-b", site="bremen")
    look_at_gateways(store, clock())
    with store.session() as session:
        (row,) = list_alarms(session, None, AlarmFilter(state="closed"))
    assert (row.alarm.id, row.gateway, row.site, row.alarm.closed_at) == (3, "gw-b", "bremen", clock())
    with pytest.raises(ClosedAlarmError):
        acting.resolve(3, "late")
    acting.comment(3, "the cable")
    assert [change["action"] for change in rows(AlarmChange) if change["alarm_id"] == 3] == [
        *("raised", "acknowledged", "cleared", "commented")
    ]


def test_who_acknowledges_at_once_is_told_once(acting, at_once, rows):
    at_once(*[lambda: acting.acknowledge_all([2, 1, 99]), lambda: acting.acknowledge_all([1, 2])] * 2)
    assert [row["acknowledged_at"] is not None for row in sorted(rows(Alarm), key=lambda row: row["id"])] == [
        *(True, True, False)
    ]
    assert [change["action"] for change in rows(AlarmChange)].count("acknowledged") == 2
    assert [entry["action"] for entry in rows(AuditEntry)].count("alarm.acknowledged") == 2


def test_p8_nobody_acts_where_they_are_no_technician(store, clock, rows):
    somebody = Caller("person anna", (Grant(Role.TECHNICIAN, "bremen"), Grant(Role.VIEWER, "hamburg")))
    anna = Acting(store, clock(), by=somebody)
    anna.assign(3, "ben")
    for alarm_id in (1, 99):
        with pytest.raises(NoSuchAlarmError):
            anna.acknowledge(alarm_id)
    assert anna.acknowledge_all([1, 2, 3]) == [3]
    assert {row["who"] for row in rows(AlarmChange)} == {"the centre", "person anna"}


def test_a_rule_is_tried_on_what_was_received(store, clock):
    low = RulLow(below_cycles=20, probability=0.05)
    with store.session() as session:
        found = simulate(session, None, low, Wanted(clock.in_(-2000)), None, Limit(10))
        assert (found.engines, found.records, [one.cycle for one in found.raised]) == (2, 4, [4])
        later = simulate(session, None, low, Wanted(clock.in_(-10)), None, Limit(1))
        assert (later.records, later.raised, later.go_on_behind) == (0, [], "E1")
        elsewhere = simulate(session, frozenset({"bremen"}), low, Wanted(clock.in_(-2000)), None, Limit(10))
        assert (elsewhere.engines, elsewhere.records) == (1, 0)
