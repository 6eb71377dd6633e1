"""What gateways are told of their engines follows what people enter, and never falls back."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from aggregator.access.roles import Caller, Grant, Role
from aggregator.store.audit import list_audit
from aggregator.store.desired import engines_at, mark_restored, messages_since, renew
from aggregator.store.installations import NewInstallation, amend, install, remove
from aggregator.store.overhauls import NewOverhaul, overhaul
from aggregator.store.registry import NoSuchEngineError, Registration, RegistryError, edit_engine, register_engine
from aggregator.store.tables import GatewayDesired, Overhaul, core
from shared.desired import SEED_FIRST_ROWS, SEED_LAST_ROWS, EngineDesired
from shared.messages import CYCLE_MAX, decode

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _at_two_sites(store, clock):
    register_engine(store, Registration("E1", "hamburg", "gw-1", "left", installation_cycle=0), clock())
    register_engine(store, Registration("E2", "kiel", "gw-2", "left"), clock())


@pytest.fixture
def told(store, clock):
    """What gateways are told once all news are in, by name."""

    def read():
        renew(store, "epoch", clock())
        return {one.gateway: decode(one.body, EngineDesired) for one in messages_since(store)}

    return read


@pytest.fixture
def fly(recorder, clock):
    """Rows of an engine, one an hour."""

    def fly(cycles, engine="E1", gateway="gw-1", site="hamburg"):
        for cycle in cycles:
            clock.advance(3600)
            recorder.send(recorder.row(engine, cycle, {"T24": 600.0 + cycle}), gateway=gateway, site=site)

    return fly


@pytest.fixture
def move(store, clock):
    """Take engine E1 off and hang it up at another gateway."""

    def move(gateway="gw-2", position="right", **fields):
        remove(store, "E1", clock(), clock())
        clock.advance(3600)
        return install(store, NewInstallation("E1", gateway, position, clock(), **fields), clock())

    return move


def test_a_gateway_is_told_what_hangs_there_and_since_when(told, clock):
    first = told()
    assert [one.serial for one in first["gw-1"].engines] == ["E1"]
    [one] = first["gw-1"].engines
    assert (one.position, one.installed_from, one.installation_cycle) == ("left", clock(), 0)
    assert (one.counted_from, one.maintenance_epoch, one.seed) == (0, 0, None)
    assert first["gw-2"].engines[0].installation_cycle is None
    assert (first["gw-2"].site, first["gw-2"].gateway) == ("kiel", "gw-2")


def test_nothing_is_said_anew_where_nothing_has_changed(store, told, clock, fly):
    before = told()
    fly(range(1, 4))
    edit_engine(store, "E1", {"type": "pump"}, clock())
    assert told() == before
    with store.writing() as connection:
        connection.execute(update(core(GatewayDesired)).values(stale=True))
    assert told() == before


def test_what_is_said_anew_has_a_higher_ordinal_even_if_the_clock_was_set_back(store, told, clock):
    before = told()["gw-1"]
    clock.advance(-240)
    amend(store, before.engines[0].installation_id, {"installation_cycle": 7}, clock())
    after = told()["gw-1"]
    assert after.ordinal > before.ordinal
    assert after.engines[0].installation_cycle == 7


def test_what_is_said_anew_is_above_all_that_is_published_whatever_the_clock_of_who_makes_it(store, told, clock):
    told()
    clock.advance(600)
    amend(store, told()["gw-2"].engines[0].installation_id, {"installation_cycle": 7}, clock())
    ahead = told()
    clock.advance(-600)
    amend(store, ahead["gw-1"].engines[0].installation_id, {"installation_cycle": 9}, clock())
    assert told()["gw-1"].ordinal > ahead["gw-2"].ordinal


def test_a_restored_store_says_all_anew_above_what_was_lost(store, told, clock):
    before = told()
    clock.advance(60)
    mark_restored(store, "epoch")
    assert told() == before
    mark_restored(store, "another")
    renew(store, "another", clock())
    after = {one.gateway: decode(one.body, EngineDesired) for one in messages_since(store)}
    assert {name: one.engines for name, one in after.items()} == {name: one.engines for name, one in before.items()}
    assert all(after[name].ordinal >= int(clock().timestamp() * 1000) for name in before)


def test_an_engine_that_moves_takes_age_and_rows_along(told, fly, move):
    told()
    fly(range(1, 201))
    move()
    after = told()
    assert after["gw-1"].engines == []
    [moved, stays] = after["gw-2"].engines
    assert (moved.serial, moved.position, moved.installation_cycle) == ("E1", "right", 200)
    assert moved.seed.channels == ["T24"]
    expected = [*range(1, SEED_FIRST_ROWS + 1), *range(201 - SEED_LAST_ROWS, 201)]
    assert moved.seed.rows == [(cycle, [600.0 + cycle]) for cycle in expected]
    assert stays.serial == "E2"


def test_p4_a_count_beyond_what_a_message_holds_stays_at_its_end_and_others_are_told(store, told, fly, move, clock):
    amend(store, told()["gw-1"].engines[0].installation_id, {"installation_cycle": 5}, clock())
    fly([CYCLE_MAX - 1, CYCLE_MAX])
    move()
    moved = told()["gw-2"].engines[0]
    assert (moved.serial, moved.installation_cycle, moved.seed.rows[-1][0]) == ("E1", CYCLE_MAX, CYCLE_MAX)
    move("gw-1", "left")
    assert told()["gw-1"].engines[0].installation_cycle == CYCLE_MAX


def test_p4_a_message_that_cannot_be_read_any_more_is_made_anew(store, told):
    before = told()
    with store.writing() as connection:
        connection.execute(update(core(GatewayDesired)).values(stale=True, body=b"{"))
    after = told()
    assert {name: one.engines for name, one in after.items()} == {name: one.engines for name, one in before.items()}


def test_p4_a_gateway_whose_news_cannot_be_told_keeps_nobody_else_from_theirs(store, told, clock, monkeypatch):
    def engines_or_none(connection, gateway_id):
        if gateway_id == 1:
            raise ValueError("no such age")
        return engines_at(connection, gateway_id)

    monkeypatch.setattr("aggregator.store.desired.engines_at", engines_or_none)
    assert list(told()) == ["gw-2"]
    assert renew(store, "epoch", clock()) == {1: "no such age"}
    assert renew(store, "epoch", clock(), but_not={1}) == {}


def test_few_rows_are_told_once_and_over_several_installations(told, fly, move):
    fly(range(1, 4))
    move()
    fly(range(1, 3), gateway="gw-2", site="kiel")
    move("gw-1", "right")
    [engine] = told()["gw-1"].engines
    assert [cycle for cycle, _ in engine.seed.rows] == [1, 2, 3, 4, 5]
    assert [values for _, values in engine.seed.rows] == [[601.0], [602.0], [603.0], [601.0], [602.0]]
    assert engine.installation_cycle == 5


def test_of_an_engine_whose_age_nobody_knows_rows_are_counted_on(store, told, fly, clock):
    fly(range(1, 4), "E2", "gw-2", "kiel")
    remove(store, "E2", clock(), clock())
    install(store, NewInstallation("E2", "gw-1", "right", clock()), clock())
    moved = told()["gw-1"].engines[1]
    assert moved.installation_cycle is None
    assert [cycle for cycle, _ in moved.seed.rows] == [1, 2, 3]
    assert moved.base_cycles == 3


@pytest.mark.parametrize(("entered", "told_cycles"), [(50, [41, 42, 43]), (2, [1, 2])])
def test_an_age_that_was_entered_holds_and_no_row_is_older_than_it(told, fly, move, entered, told_cycles):
    fly(range(41, 44))
    move(installation_cycle=entered)
    moved = told()["gw-2"].engines[0]
    assert moved.installation_cycle == entered
    assert [cycle for cycle, _ in moved.seed.rows] == told_cycles


def test_an_overhaul_where_it_hangs_counts_from_the_last_cycle_before_it(store, told, fly, clock):
    told()
    fly(range(1, 6))
    at = clock()
    fly(range(6, 9))
    assert overhaul(store, NewOverhaul("E1", at), clock()) == 1
    [engine] = told()["gw-1"].engines
    assert (engine.installation_cycle, engine.counted_from, engine.maintenance_epoch) == (0, 5, 1)
    clock.advance(60)
    assert overhaul(store, NewOverhaul("E1", clock(), after_cycle=7), clock()) == 2
    [engine] = told()["gw-1"].engines
    assert (engine.counted_from, engine.maintenance_epoch) == (7, 2)


def test_an_overhaul_in_the_shop_makes_it_new_and_its_rows_are_of_no_use(store, told, fly, clock):
    fly(range(1, 6))
    remove(store, "E1", clock(), clock())
    clock.advance(60)
    overhaul(store, NewOverhaul("E1", clock()), clock())
    install(store, NewInstallation("E1", "gw-2", "right", clock()), clock())
    engine = told()["gw-2"].engines[0]
    assert (engine.installation_cycle, engine.counted_from, engine.maintenance_epoch) == (0, 0, 1)
    assert engine.seed is None


def test_after_an_overhaul_it_takes_along_only_the_rows_since(store, told, fly, move, clock):
    fly(range(1, 6))
    overhaul(store, NewOverhaul("E1", clock()), clock())
    fly(range(6, 9))
    move()
    engine = told()["gw-2"].engines[0]
    assert engine.seed.rows == [(1, [606.0]), (2, [607.0]), (3, [608.0])]
    assert (engine.installation_cycle, engine.counted_from) == (3, 0)


@pytest.mark.parametrize(
    ("hours", "after_cycle", "reason"),
    [
        (1, None, "not ahead"),
        (-2, None, "later than that"),
        (-1, None, "later than that"),
        (-0.25, 5, "hung nowhere then"),
    ],
)
def test_an_overhaul_that_cannot_be_is_refused(store, clock, fly, rows, hours, after_cycle, reason):
    fly([1, 2])
    overhaul(store, NewOverhaul("E1", clock() - HOUR), clock())
    remove(store, "E1", clock() - HOUR / 2, clock())
    with pytest.raises(RegistryError, match=reason):
        overhaul(store, NewOverhaul("E1", clock() + hours * HOUR, after_cycle), clock())
    assert len(rows(Overhaul)) == 1


def test_p8_a_technician_of_the_site_enters_it_and_that_is_on_record(store, clock):
    technician = Caller("ada", (Grant(Role.TECHNICIAN, "hamburg"),))
    overhaul(store, NewOverhaul("E1", clock()), clock(), by=technician)
    for somebody in (Caller("bob", (Grant(Role.VIEWER, "hamburg"),)), Caller("cy", (Grant(Role.ADMIN, "kiel"),))):
        with pytest.raises(NoSuchEngineError):
            overhaul(store, NewOverhaul("E1", clock() + HOUR / 60), clock(), by=somebody)
    with store.session() as session:
        entry = list_audit(session, None)[0]
    assert (entry.action, entry.subject, entry.site) == ("engine.overhaul", "engine E1", "hamburg")


def test_an_engine_that_is_retired_hangs_nowhere_any_more(store, told, clock):
    told()
    edit_engine(store, "E1", {"status": "retired"}, clock())
    assert told()["gw-1"].engines == []


def test_two_aggregators_make_the_same_message_once(store, told, clock, at_once):
    with store.writing() as connection:
        connection.execute(update(core(GatewayDesired)).values(stale=True))
    at_once(*[lambda: renew(store, "epoch", clock())] * 2)
    assert [one.gateway for one in messages_since(store)] == ["gw-1", "gw-2"]
    now_ms = int(clock().timestamp() * 1000)
    assert sorted(one.ordinal for one in told().values()) == [now_ms, now_ms + 1]
