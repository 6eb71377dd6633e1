"""Work orders in the store: from alarms to an outcome, what that sets, how it is corrected, and who may do what."""

from datetime import timedelta

import pytest

from aggregator.access.roles import Caller, Grant, Role
from aggregator.fleet.work_orders import Conclusion, Outcome, Remedy, State, StepError
from aggregator.store.alarm_actions import ClosedAlarmError, NoSuchAlarmError
from aggregator.store.overhauls import NewOverhaul, overhaul
from aggregator.store.reads.fleet import sites_of
from aggregator.store.reads.work_orders import WorkOrderFilter, list_unfinished, list_work_orders
from aggregator.store.registry import NoSuchEngineError, RegistryError
from aggregator.store.tables import (
    Alarm,
    AlarmChange,
    AuditEntry,
    EndedLife,
    GatewayDesired,
    Installation,
    Overhaul,
    WorkOrder,
    WorkOrderChange,
)
from aggregator.store.versions import ChangedError
from aggregator.store.work_orders import (
    NewWorkOrder,
    NoSuchWorkOrderError,
    TakenUpError,
    Working,
    open_work_order,
)

ON_ONE = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
"""For what is decided above the database."""


def somebody(*grants):
    return Caller(
        "person anna", tuple(Grant(Role(role), site) for role, _, site in (one.partition("@") for one in grants))
    )


TECHNICIAN, ENGINEER = somebody("technician@hamburg"), somebody("engineer@hamburg")


@pytest.fixture(autouse=True)
def _worn(recorder, clock):
    """An engine of hamburg with five cycles behind it and two alarms (1 and 2), and another at the next position."""
    recorder.register("E1", position="1")
    for cycle in range(1, 6):
        recorder.send(recorder.row("E1", cycle), recorder.prediction("E1", cycle, q50=10.0))
    recorder.register("E2", position="2")
    clock.advance(3600)


@pytest.fixture
def opened(store, clock):
    """Open a work order; its id."""

    def open_one(*alarm_ids, engine=None, by=TECHNICIAN, **said):
        return open_work_order(store, NewWorkOrder(engine, alarm_ids, said), clock(), by=by)

    return open_one


@pytest.fixture
def order(opened):
    """One from both alarms."""
    return opened(1, 2)


@pytest.fixture
def technician(store, clock):
    return Working(store, clock(), by=TECHNICIAN)


@pytest.fixture
def engineer(store, clock):
    return Working(store, clock(), by=ENGINEER)


@pytest.fixture
def only(rows):
    """The only row of a table, or of those with these values."""

    def read(table, **wanted):
        (row,) = [row for row in rows(table) if wanted.items() <= row.items()]
        return row

    return read


def conclusion(outcome, at, **more):
    return Conclusion(Outcome(outcome), at, **more)


@ON_ONE
def test_it_has_the_reason_and_priority_of_the_most_urgent_alarm_and_takes_them_up(order, only, rows):
    row = only(WorkOrder)
    assert (row["state"], row["priority"], row["opened_by"]) == ("open", "urgent", "person anna")
    assert row["reason"].startswith("rul-critical: with a probability of 5 % no more than 0.0 cycles are left")
    assert [alarm["work_order_id"] for alarm in rows(Alarm)] == [order, order]
    assert {alarm["acknowledged_by"] for alarm in rows(Alarm)} == {"person anna"}
    assert [change["action"] for change in rows(AlarmChange)] == ["raised", "raised", "taken_up", "taken_up"]
    assert [change["action"] for change in rows(WorkOrderChange)] == ["opened"]


def test_of_two_that_are_opened_from_the_same_alarm_at_once_one_is(opened, at_once, rows):
    def try_to_open(*alarm_ids):
        try:
            return opened(*alarm_ids)
        except TakenUpError as error:
            return str(error)

    told = at_once(*[lambda: try_to_open(2, 1), lambda: try_to_open(1, 2), lambda: try_to_open(1)] * 2)
    (order,) = [one for one in told if isinstance(one, int)]
    (row,) = rows(WorkOrder)
    assert row["id"] == order
    assert {one.partition(" sees")[0] for one in told if isinstance(one, str)} == {f"work order {order}"}


@ON_ONE
def test_what_cannot_be_opened_says_why(opened, order, store, clock):
    with pytest.raises(TakenUpError, match=f"work order {order} sees to alarm 1 already"):
        opened(1)
    with pytest.raises(RegistryError, match="name it, or alarms of one engine"):
        opened(1, engine="E2")
    with pytest.raises(RegistryError, match="needs a reason"):
        opened(engine="E2")
    with pytest.raises(NoSuchEngineError):
        opened(engine="E9", reason="noise")
    for by in (somebody("viewer@hamburg"), somebody("admin@bremen")):
        with pytest.raises(NoSuchAlarmError):
            opened(1, by=by)
        with pytest.raises(NoSuchEngineError):
            opened(engine="E2", reason="noise", by=by)


def test_a_replaced_engine_comes_off_and_its_alarms_are_resolved(order, technician, clock, only, rows):
    technician.start(order)
    technician.finish(order, conclusion("replaced", clock()), "blade 7 is cracked")
    row = only(WorkOrder)
    assert (row["state"], row["closed_at"], row["ended_cycle"]) == ("done", clock(), 5)
    assert only(Installation, position="1")["installed_to"] == clock()
    assert only(Installation, position="2")["installed_to"] is None
    assert {alarm["resolution"] for alarm in rows(Alarm)} == {f"work order {order}: replaced"}
    assert all(row["stale"] for row in rows(GatewayDesired))
    assert rows(WorkOrderChange)[-1]["note"] == "replaced: blade 7 is cracked"
    audited = [entry["action"] for entry in rows(AuditEntry)]
    assert audited.count("work_order.done") == audited.count("installation.amend") == 1
    with pytest.raises(StepError, match="it is done, and can be done only while it is open or planned or in_progress"):
        technician.finish(order, conclusion("replaced", clock()))
    with pytest.raises(StepError):
        technician.start(order)
    technician.comment(order, "for the record")


@ON_ONE
def test_an_overhauled_one_is_as_new_by_the_code_that_enters_overhauls(order, technician, clock, only, rows):
    technician.finish(order, conclusion("overhauled", clock(), cycle=4))
    entered = only(Overhaul)
    assert (entered["epoch"], entered["after_cycle"], entered["at"]) == (1, 4, clock())
    assert [entry["action"] for entry in rows(AuditEntry)].count("engine.overhaul") == 1
    assert only(Installation, position="1")["installed_to"] is None


@ON_ONE
def test_what_cannot_be_entered_leaves_everything_as_it_was(store, order, technician, clock, only, rows):
    overhaul(store, NewOverhaul("E1", clock()), clock())
    with pytest.raises(RegistryError, match="was overhauled at"):
        technician.finish(order, conclusion("failed", clock.in_(-60), remedy=Remedy.OVERHAULED))
    with pytest.raises(RegistryError, match="not ahead"):
        technician.finish(order, conclusion("replaced", clock.in_(3600)))
    assert (only(WorkOrder)["state"], rows(EndedLife)) == ("open", [])
    assert {alarm["closed_at"] for alarm in rows(Alarm)} == {None}


@ON_ONE
def test_without_a_fault_nothing_is_set_and_no_life_has_ended(order, technician, clock, only, rows):
    technician.finish(order, conclusion("no_fault_found", clock()))
    assert only(Installation, position="1")["installed_to"] is None
    assert rows(Overhaul) == rows(EndedLife) == []
    assert {alarm["resolution"] for alarm in rows(Alarm)} == {f"work order {order}: no fault found"}


@ON_ONE
def test_one_that_is_cancelled_lets_its_alarms_go(order, technician, engineer, opened, rows):
    with pytest.raises(NoSuchWorkOrderError):
        technician.cancel(order, "too early")
    engineer.cancel(order, "too early")
    assert {alarm["work_order_id"] for alarm in rows(Alarm)} == {None}
    assert opened(1) > order
    with pytest.raises(StepError):
        engineer.correct(order, conclusion("failed", rows(WorkOrder)[0]["opened_at"]), "no")


@ON_ONE
def test_more_alarms_are_taken_up_later_but_none_of_another_engine(opened, technician, recorder, clock, rows):
    order = opened(engine="E2", reason="noise")
    with pytest.raises(NoSuchAlarmError):
        technician.link(order, [1])
    other = opened(engine="E1", reason="noise")
    technician.link(other, [2])
    assert {row["id"]: row["work_order_id"] for row in rows(Alarm)} == {1: None, 2: other}


@ON_ONE
def test_a_closed_alarm_opens_nothing(opened, order, technician, clock):
    technician.finish(order, conclusion("no_fault_found", clock()))
    with pytest.raises((ClosedAlarmError, TakenUpError)):
        opened(1)


@ON_ONE
def test_nobody_acts_on_what_they_have_not_seen(store, order, clock):
    with pytest.raises(ChangedError):
        Working(store, clock(), frozenset({"other"}), by=TECHNICIAN).start(order)


class TestCorrection:
    @ON_ONE
    def test_that_it_had_failed_changes_nothing_of_the_engine_even_with_another_in_its_place(
        self, recorder, order, technician, engineer, clock, only, rows
    ):
        technician.finish(order, conclusion("replaced", clock()))
        recorder.register("E3", position="1")
        before = rows(Installation)
        with pytest.raises(NoSuchWorkOrderError):
            technician.correct(order, conclusion("failed", clock(), cycle=4, remedy=Remedy.REPLACED), "it had")
        engineer.correct(order, conclusion("failed", clock(), cycle=4, remedy=Remedy.REPLACED), "it had failed")
        assert rows(Installation) == before
        assert [entry["action"] for entry in rows(AuditEntry)].count("installation.amend") == 1
        row = only(WorkOrder)
        assert (row["outcome"], row["ended_cycle"], row["state"]) == ("failed", 4, "done")
        assert only(EndedLife)["is_failure"]
        assert [one["action"] for one in rows(WorkOrderChange)] == ["opened", "done", "corrected"]

    @ON_ONE
    def test_a_removal_is_taken_back_unless_another_hangs_there(
        self, store, recorder, order, technician, engineer, clock, only, rows
    ):
        technician.finish(order, conclusion("replaced", clock()))
        recorder.register("E3", position="1")
        with pytest.raises(RegistryError, match="position 1 of gateway gw-1 holds engine E3"):
            engineer.correct(order, conclusion("no_fault_found", clock()), "it never came off")
        assert only(WorkOrder)["outcome"] == "replaced"
        assert len(rows(EndedLife)) == 1

    def test_one_that_never_came_off_hangs_there_again(self, order, technician, engineer, clock, only, rows):
        technician.finish(order, conclusion("replaced", clock()))
        engineer.correct(order, conclusion("overhauled", clock()), "in place")
        assert only(Installation, position="1")["installed_to"] is None
        assert only(Overhaul)["after_cycle"] == 5
        engineer.correct(order, conclusion("failed", clock(), cycle=3, remedy=Remedy.OVERHAULED), "after all")
        assert [(one["epoch"], one["after_cycle"]) for one in rows(Overhaul)] == [(1, 3)]
        engineer.correct(order, conclusion("no_fault_found", clock()), "the wrong engine")
        assert rows(Overhaul) == rows(EndedLife) == []

    @ON_ONE
    def test_an_overhaul_that_others_are_counted_by_stays(self, store, order, technician, engineer, clock, rows):
        technician.finish(order, conclusion("overhauled", clock()))
        overhaul(store, NewOverhaul("E1", clock.in_(60)), clock.in_(60))
        with pytest.raises(RegistryError, match="is not its last one"):
            engineer.correct(order, conclusion("no_fault_found", clock()), "the wrong engine")
        assert [one["epoch"] for one in rows(Overhaul)] == [1, 2]


def test_lists_show_what_is_wanted(store, opened, order, technician, clock):
    by_hand = opened(engine="E2", reason="noise", assigned_to="line 3")
    technician.finish(order, conclusion("no_fault_found", clock()))

    def ids(sites=None, **wanted):
        with store.session() as session:
            return [row.order.id for row in list_work_orders(session, sites, WorkOrderFilter(**wanted))]

    assert ids() == [by_hand, order]
    assert (
        ids(state="unfinished") == ids(state=State.OPEN) == ids(engine="E2") == ids(assigned_to="line 3") == [by_hand]
    )
    assert ids(outcome=Outcome.NO_FAULT_FOUND) == ids(state=State.DONE) == [order]
    assert ids(sites=frozenset({"bremen"})) == ids(site="bremen") == []
    assert ids(opened_since=clock.at + timedelta(seconds=1)) == []


def test_a_plan_is_told_which_day_each_order_that_is_not_over_has(store, recorder, opened, technician, clock):
    recorder.register("E9", gateway="gw-9", site="kiel")
    day = (clock() + timedelta(days=9)).date()
    begun, dated, undated, over = (opened(engine="E1", reason="it is old") for _ in range(4))
    technician.start(begun)
    technician.edit(dated, {"planned_for": day})
    technician.finish(over, Conclusion(Outcome.NO_FAULT_FOUND, clock()))
    elsewhere = opened(engine="E9", reason="it is old", by=somebody("technician@kiel"))
    with store.session() as session:
        (e1, e2), (e9,) = sites_of(session, frozenset({"hamburg"})), sites_of(session, frozenset({"kiel"}))
        assert sites_of(session, None) == {e1: "hamburg", e2: "hamburg", e9: "kiel"}
        of_hamburg = list_unfinished(session, frozenset({"hamburg"}), None, "turbofan")
        assert of_hamburg == [(begun, e1, clock().date()), (dated, e1, day), (undated, e1, None)]
        assert list_unfinished(session, None, "kiel", None) == [(elsewhere, e9, None)]
        assert list_unfinished(session, None, "kiel", "pump") == []
