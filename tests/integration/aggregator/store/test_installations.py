"""Engines hang at one position at a time, positions hold one engine at a time, and history follows the serial."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from aggregator.access.roles import Caller, Grant, Role
from aggregator.ingest.redrive import redrive
from aggregator.store.audit import list_audit
from aggregator.store.installations import NewInstallation, NoSuchInstallationError, amend, install
from aggregator.store.registry import (
    NoSuchEngineError,
    Registration,
    RegistryError,
    edit_engine,
    list_registrations,
    register_engine,
    register_gateway,
)
from aggregator.store.tables import Engine, Installation, Quarantine, Telemetry, core
from aggregator.store.versions import ChangedError

HOUR = timedelta(hours=1)


@pytest.fixture
def began(clock):
    """A day before the present."""
    return clock() - 24 * HOUR


@pytest.fixture(autouse=True)
def _registered(store, clock):
    for serial in ("E1", "E2"):
        register_engine(store, Registration(serial, "hamburg"))
    for gateway, site in (("gw-1", "hamburg"), ("gw-2", "kiel")):
        register_gateway(store, gateway, site, clock())


@pytest.fixture
def enter(store, clock, began):
    """Install an engine, times in hours after the beginning."""

    def at(engine, gateway="gw-1", position="left", start=0, end=None, **fields):
        wanted = NewInstallation(
            engine, gateway, position, began + start * HOUR, None if end is None else began + end * HOUR, **fields
        )
        return install(store, wanted, clock())

    return at


def test_p8_what_moves_is_on_record_at_both_sites_and_a_gateway_registered_by_the_way_as_well(store, clock, enter):
    register_engine(store, Registration("E3", "hamburg", "gw-new", "left"), clock())
    enter("E1", "gw-2")
    enter("E2", "gw-1", end=1)
    edit_engine(store, "E2", {"site": "bremen"}, clock())
    with store.session() as session:
        found = {(one.action, one.subject, one.site) for one in list_audit(session, None)}
    assert {
        ("gateway.register", "gateway gw-new", "hamburg"),
        ("engine.install", "engine E1 at gateway gw-2", "hamburg"),
        ("engine.install", "engine E1 at gateway gw-2", "kiel"),
        ("engine.edit", "engine E2", "hamburg"),
        ("engine.edit", "engine E2", "bremen"),
    } <= found
    assert [site for _, subject, site in found if subject == "engine E2 at gateway gw-1"] == ["hamburg"]


def test_p8_nobody_is_told_of_what_is_at_a_site_that_they_may_not_see(store, clock, enter, began):
    engineer = Caller("ada", (Grant(Role.ENGINEER, "hamburg"),))
    with pytest.raises(RegistryError) as gateway:
        register_gateway(store, "gw-2", "hamburg", clock(), by=engineer)
    enter("E1", "gw-2", end=2)
    enter("E1", "gw-1", start=3, end=5)
    edit_engine(store, "E1", {"site": "hamburg"}, clock())
    with pytest.raises(RegistryError) as history:
        install(store, NewInstallation("E1", "gw-1", "right", began, began + HOUR), clock(), by=engineer)
    enter("E1", "gw-2", start=6)
    with pytest.raises(RegistryError) as position:
        install(store, NewInstallation("E2", "gw-1", "left", began + 3 * HOUR, began + 4 * HOUR), clock(), by=engineer)
    told = [str(error.value) for error in (gateway, history, position)]
    assert [("elsewhere" in one, "another engine" in one) for one in told] == [
        (True, False),
        (True, False),
        (False, True),
    ]
    assert not any("kiel" in one or "gateway gw-2 until" in one or "E1 until" in one for one in told)


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ({}, {"position": "right"}, "engine E1 is installed at position left of gateway gw-1 until now"),
        ({}, {"engine": "E2"}, "position left of gateway gw-1 holds engine E1 until now"),
        ({"end": 5}, {"start": 4}, "engine E1 is installed .* until 2026-11-20T17:00:00Z"),
        ({"start": 4}, {"end": 5}, "engine E1 is installed .* until now"),
        ({"start": 2, "end": 3}, {"engine": "E2", "start": 1, "end": 4}, "holds engine E1 until"),
        ({"start": 1, "end": 4}, {"engine": "E2", "start": 2, "end": 3}, "holds engine E1 until"),
    ],
)
def test_installations_of_an_engine_or_a_position_never_overlap(enter, first, second, reason, counts):
    enter(**{"engine": "E1"} | first)
    with pytest.raises(RegistryError, match=reason):
        enter(**{"engine": "E1"} | second)
    assert counts(Installation) == [1]


def test_one_installation_may_begin_when_the_other_ends(enter, counts):
    enter("E1", end=5)
    enter("E2", start=5)
    enter("E1", position="right", start=5)
    assert counts(Installation) == [3]


def test_of_many_who_install_at_once_one_succeeds(enter, store, rows):
    for number in range(3, 9):
        register_engine(store, Registration(f"E{number}", "hamburg"))

    def attempt(number):
        try:
            return enter(f"E{number}", start=number, end=None if number % 2 else 20)
        except RegistryError:
            return None

    with ThreadPoolExecutor(8) as executor:
        ids = [one for one in executor.map(attempt, range(1, 9)) if one]
    assert len(ids) == 1
    assert [row["id"] for row in rows(Installation)] == ids


@pytest.mark.parametrize("other", [{"position": "right"}, {"engine_id": 2}])
def test_even_a_statement_of_ones_own_cannot_hang_it_twice(enter, rows, store, other):
    enter("E1")
    (row,) = rows(Installation)
    with pytest.raises(IntegrityError), store.writing() as connection:
        connection.execute(insert(core(Installation)).values(row | {"id": "x"} | other))


def test_an_engine_takes_the_site_of_the_gateway_where_it_is_installed(enter, store, clock, began):
    one = enter("E1")
    amend(store, one, {"installed_to": began + HOUR}, clock())
    enter("E1", gateway="gw-2", start=2)
    assert list_registrations(store)[0] == Registration("E1", "kiel", "gw-2", "left")


def test_what_was_entered_wrongly_is_corrected_unless_that_contradicts(enter, store, clock, began, rows):
    one = enter("E1", end=5, installation_cycle=40)
    enter("E2", start=5)
    amend(store, one, {"installed_to": began + 4 * HOUR, "installation_cycle": None}, clock())
    with pytest.raises(RegistryError, match="position left of gateway gw-1 holds engine E2 until now"):
        amend(store, one, {"installed_to": None}, clock())
    with pytest.raises(RegistryError, match="cannot end before"):
        amend(store, one, {"installed_from": began + 6 * HOUR}, clock())
    (row,) = (row for row in rows(Installation) if row["id"] == one)
    assert (row["installed_to"], row["installation_cycle"]) == (began + 4 * HOUR, None)
    with pytest.raises(NoSuchInstallationError):
        amend(store, "x", {}, clock())


@pytest.mark.parametrize("times", [{"start": 25}, {"end": 25}])
def test_nothing_is_entered_ahead_of_its_time(enter, times):
    with pytest.raises(RegistryError, match="not ahead"):
        enter("E1", **times)


def test_a_retired_engine_hangs_nowhere_until_it_is_taken_back(enter, store, clock, rows):
    enter("E1")
    edit_engine(store, "E1", {"status": "retired"}, clock())
    assert rows(Installation)[0]["installed_to"] == clock()
    with pytest.raises(RegistryError, match="engine E1 is retired"):
        enter("E1", start=24)
    edit_engine(store, "E1", {"status": "operational"}, clock())
    enter("E1", start=24)


def test_an_installation_lasts_again_only_where_its_engine_could_be_installed(enter, store, clock, began, rows):
    one = enter("E1", end=5)
    edit_engine(store, "E1", {"status": "retired"}, clock())
    with pytest.raises(RegistryError, match="engine E1 is retired"):
        amend(store, one, {"installed_to": None}, clock())
    amend(store, one, {"installation_cycle": 40}, clock())
    edit_engine(store, "E1", {"status": "operational", "site": "kiel"}, clock())
    with pytest.raises(NoSuchEngineError):
        amend(store, one, {"installed_to": None}, clock(), by=Caller("hamburg", (Grant(Role.ENGINEER, "hamburg"),)))
    assert rows(Installation)[0]["installed_to"] == began + 5 * HOUR
    amend(store, one, {"installed_to": None}, clock())
    assert list_registrations(store)[0] == Registration("E1", "hamburg", "gw-1", "left")


def test_an_edit_of_what_was_edited_meanwhile_is_refused(store, clock, rows):
    with pytest.raises(ChangedError):
        edit_engine(store, "E1", {"type": "pump"}, clock(), seen={"an older version"})
    assert rows(Engine)[0]["type"] == "turbofan"


def test_an_engine_of_a_gateway_is_of_its_site(enter, store, clock):
    enter("E1")
    with pytest.raises(RegistryError, match="installed at gateway gw-1 of site hamburg"):
        edit_engine(store, "E1", {"site": "kiel"}, clock())
    edit_engine(store, "E2", {"site": "kiel"}, clock())


def test_after_a_swap_each_record_goes_to_the_engine_it_names_while_that_hung_there(
    enter, store, clock, began, deliver, recorder, rows
):
    one = enter("E1")
    amend(store, one, {"installed_to": began + 10 * HOUR}, clock())
    other = enter("E2", start=10)
    records = {}
    for seq, (serial, hour) in enumerate([("E1", 1), ("E1", 11), ("E2", 11), ("E2", 9)], start=1):
        clock.at = began + hour * HOUR
        records[seq] = recorder.row(serial, seq)
    clock.at = began + 12 * HOUR
    answer = deliver(records)
    assert answer.committed == {1, 3, 4}
    reason = "engine E1 was removed from gateway gw-1 at 2026-11-20T22:00:00Z and this was observed at"
    assert answer.quarantined.keys() == {2}
    assert answer.quarantined[2].startswith(reason)
    assert [(row["seq"], row["installation_id"]) for row in rows(Telemetry)] == [(1, one), (3, other), (4, other)]


def test_p1_what_a_restored_centre_has_lost_is_entered_again_under_its_id(
    enter, store, clock, began, deliver, recorder, rows
):
    before = enter("E1")
    clock.at = began + 11 * HOUR
    sent = {1: recorder.row("E1", 1, installation_id="lost"), 2: recorder.row("E1", 1, installation_id=before)}
    assert deliver(sent).committed == {2}
    amend(store, before, {"installed_to": began + 10 * HOUR}, clock())
    assert enter("E1", start=10, id="lost") == "lost"
    with pytest.raises(RegistryError, match="there is an installation lost already"):
        enter("E2", "gw-2", id="lost")
    with store.session() as session:
        (kept,) = session.exec(select(Quarantine)).all()
    assert redrive(store, [kept], clock(), follow=lambda _: None) == {kept.id: None}
    assert {(row["seq"], row["installation_id"]) for row in rows(Telemetry)} == {(1, "lost"), (2, before)}


def test_a_clock_that_starts_in_1970_is_replaced_by_the_centres(enter, store, clock, began, deliver, recorder):
    one = enter("E1")
    clock.at = datetime.fromisoformat("1970-01-01T00:00:07Z")
    record = recorder.row("E1", 1)
    clock.at = began + 2 * HOUR
    assert deliver({1: record}).committed == {1}
    amend(store, one, {"installed_to": began + HOUR}, clock())
    assert deliver({2: record}).quarantined.keys() == {2}


def test_who_says_which_installation_is_refused_once_that_has_ended(enter, store, clock, began, deliver, recorder):
    one = enter("E1", end=10)
    enter("E1", start=12)
    clock.at = began + 11 * HOUR
    answer = deliver({1: recorder.row("E1", 1, installation_id=one)})
    assert answer.quarantined.keys() == {1}


spans = st.tuples(st.integers(0, 10), st.none() | st.integers(0, 10))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["E1", "E2"]), st.sampled_from(["left", "right"]), spans), max_size=8))
def test_whatever_is_entered_never_overlaps(enter, store, rows, began, entered):
    with store.writing() as connection:
        connection.execute(core(Installation).delete())
    for engine, position, (start, end) in entered:
        try:
            enter(engine, position=position, start=start, end=end)
        except RegistryError:
            continue
    for hour in range(11):
        at = began + (hour + 0.5) * HOUR
        lasting = [
            one
            for one in rows(Installation)
            if one["installed_from"] <= at and (one["installed_to"] is None or one["installed_to"] > at)
        ]
        for key in ("engine_id", "position"):
            assert len({one[key] for one in lasting}) == len(lasting)
