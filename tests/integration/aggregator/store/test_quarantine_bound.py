"""The quarantine is bounded: who fills it gives up first, the count lasts, and the ledger still answers."""

import pytest
from sqlalchemy import event, text
from sqlmodel import Session
from structlog.testing import capture_logs

from aggregator.store.arrivals import MalformedArrival
from aggregator.store.commit import commit
from aggregator.store.quarantine_bound import QuarantineBound
from aggregator.store.reads.quarantine import count_given_up
from aggregator.store.tables import Quarantine
from shared.topics import GatewayTopic

MUCH = 2**30


@pytest.fixture(autouse=True)
def _registered(recorder):
    for gateway in ("gw-1", "gw-2"):
        recorder.register(f"E-{gateway}", gateway=gateway)


@pytest.fixture
def malformed(store, clock):
    """Commit messages of a gateway that cannot be read."""

    def send(*bodies, gateway="gw-1"):
        topic = str(GatewayTopic("hamburg", gateway, "records"))
        commit(store, [MalformedArrival(topic, body, "not JSON", clock()) for body in bodies])

    return send


@pytest.fixture
def bad(deliver):
    """Deliver records that break the contract, by seq."""

    def send(*seqs, gateway="gw-1"):
        return deliver({seq: f"bad {seq}" for seq in seqs}, gateway=gateway, stream=f"stream-{gateway}")

    return send


@pytest.fixture
def kept(rows):
    """What is in the quarantine of a gateway: the seq, or the bytes where there is none."""

    def read(gateway="gw-1"):
        return {one["seq"] or one["body"] for one in rows(Quarantine) if one["gateway"] == gateway}

    return read


@pytest.fixture
def given_up(store):
    def read():
        with Session(store.engine) as session:
            return count_given_up(session)

    return read


def test_p4_what_is_too_much_is_given_up_malformed_messages_first_then_the_oldest(
    store, malformed, bad, kept, given_up
):
    bound = QuarantineBound(store, 10, MUCH)
    bad(1, 2, 3, 4)
    malformed(b"{1", b"{2")
    bad(5, 6, 7, 8)
    assert (bound.keep(), given_up()) == (0, 0)
    malformed(b"{3")
    assert bound.keep() == 2
    assert kept() == {1, 2, 3, 4, 5, 6, 7, 8, b"{3"}
    bad(9, 10, 11, 12)
    assert bound.keep() == 4
    assert kept() == {4, 5, 6, 7, 8, 9, 10, 11, 12}
    assert given_up() == 6


def test_p4_no_gateway_pushes_out_what_others_left(store, bad, kept):
    bound = QuarantineBound(store, 20, MUCH)
    bad(1, 2, 3, gateway="gw-2")
    for first in range(1, 101, 10):
        bad(*range(first, first + 10))
        bound.keep()
    assert kept("gw-2") == {1, 2, 3}
    assert kept("gw-1") <= set(range(80, 101))
    assert max(kept("gw-1")) == 100


def test_p4_it_is_bounded_in_bytes_too(store, malformed, kept, given_up):
    bound = QuarantineBound(store, 1000, 50_000)
    malformed(b"{small", gateway="gw-2")
    for number in range(10):
        malformed(bytes([number]) * 10_000)
        bound.keep()
    assert len(kept("gw-1")) == 4
    assert bytes([9]) * 10_000 in kept("gw-1")
    assert kept("gw-2") == {b"{small"}
    assert given_up() == 6


def test_a_record_that_was_given_up_is_still_answered_as_quarantined(store, bad, kept, receipts):
    bound = QuarantineBound(store, 2, MUCH)
    first = bad(1, 2, 3)
    assert bound.keep() == 2
    assert kept() == {3}
    assert bad(1, 2, 3) == first
    assert [seq for seq, _ in receipts()] == [1, 2, 3]
    assert kept() == {3}


def test_it_holds_after_a_restart_and_among_replicas(store, bad, kept, given_up):
    one, other = QuarantineBound(store, 10, MUCH), QuarantineBound(store, 10, MUCH)
    bad(*range(1, 9))
    assert (one.keep(), other.keep()) == (0, 0)
    bad(*range(9, 13))
    assert (one.keep(), other.keep()) == (3, 0)
    bad(13, 14)
    assert QuarantineBound(store, 10, MUCH).keep() == 2
    assert kept() == set(range(6, 15))
    assert given_up() == 5


def test_to_look_costs_one_query_of_what_is_new(store, bad):
    bound = QuarantineBound(store, 100, MUCH)
    bad(1, 2, 3)
    bound.keep()
    seen = []
    event.listen(store.engine, "before_cursor_execute", lambda *about: seen.append(about[2:4]))
    bound.keep()
    ((statement, parameters),) = [one for one in seen if not one[0].startswith("BEGIN")]
    assert statement.startswith("SELECT max(quarantine.id)")
    assert 3 in (parameters.values() if isinstance(parameters, dict) else parameters)


def test_it_is_told_of_once_in_a_while(store, bad):
    bound = QuarantineBound(store, 2, MUCH)
    with capture_logs() as logs:
        for first in (1, 4, 7):
            bad(first, first + 1, first + 2)
            bound.keep()
    told = [line for line in logs if line["event"] == "quarantine_given_up"]
    assert [(line["messages"], line["gateways"]) for line in told] == [(2, ["gw-1"])]


def test_a_store_that_cannot_do_it_now_is_asked_again(store, bad, kept):
    bound = QuarantineBound(store, 2, MUCH)
    bad(1, 2, 3)
    with store.writing() as connection:
        connection.execute(text("ALTER TABLE store_fact RENAME TO hidden"))
    with capture_logs() as logs:
        assert bound.keep() == 0
    assert [line["event"] for line in logs] == ["quarantine_not_bounded"]
    assert kept() == {1, 2, 3}
    with store.writing() as connection:
        connection.execute(text("ALTER TABLE hidden RENAME TO store_fact"))
    assert bound.keep() == 2
