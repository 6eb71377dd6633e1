"""A store that has lost records asks for those that gateways still hold and notes what is gone."""

import pytest

from aggregator.store.arrivals import Answer, ReplyArrival, StatusArrival
from aggregator.store.commit import commit
from aggregator.store.missing import UNAVAILABLE
from aggregator.store.reads.missing import list_missing
from aggregator.store.recovery import LOST
from aggregator.store.tables import GapRecord, Telemetry
from shared.messages import RESEND_RANGES_MAX, Gap, OutboxStatus, Reply, Resend, Session, SourceStatus, Status
from shared.topics import GatewayTopic

COMMAND = GatewayTopic("hamburg", "gw-1", "command")


@pytest.fixture(autouse=True)
def _registered(recorder):
    recorder.register("E1")


@pytest.fixture
def birth(store, clock):
    """Take a birth of gateway gw-1, of a new session each time; returns the orders that follow."""
    sessions = iter(range(1, 100))
    store.epoch()

    def send(next_seq, held=(), store_epoch="the old one", times=1):
        clock.advance(1)
        status = Status(
            event="birth",
            session=Session(counter=next(sessions), boot_nonce="n"),
            stream_id="stream-1",
            next_seq=next_seq,
            sent_at=clock(),
            heartbeat_interval_s=15.0,
            agent_version="0.1.0",
            engines=["E1"],
            source=SourceStatus(kind="file", state="reading"),
            outbox=OutboxStatus(),
            store_epoch=store_epoch,
            held=list(held),
        )
        arrival = StatusArrival(GatewayTopic("hamburg", "gw-1", "status"), status, clock())
        return [commit(store, [arrival]).orders for _ in range(times)][-1]

    return send


@pytest.fixture
def asks_for(store):
    """The orders of a store that asks for these ranges of the stream."""

    def orders(*ranges):
        return [(COMMAND, Resend(stream_id="stream-1", ranges=list(ranges), store_epoch=store.epoch()))]

    return orders


@pytest.fixture
def missing(store):
    def read():
        with store.session() as session:
            return [(one.first_seq, one.last_seq, one.reason) for one in list_missing(session, None)]

    return read


def test_what_is_held_and_lacking_is_asked_for_and_what_nobody_holds_is_noted(
    birth, deliver, recorder, missing, asks_for
):
    deliver({seq: recorder.row("E1", seq) for seq in (1, 2, 3, 7)})
    asked = birth(next_seq=13, held=[(3, 4), (6, 8), (12, 12)])
    assert asked == asks_for((4, 4), (6, 6), (8, 8), (12, 12))
    assert missing() == [(5, 5, LOST), (9, 11, LOST)]


def test_what_is_sent_again_is_new_where_it_lacked_and_present_where_not(birth, deliver, recorder, counts):
    rows = {seq: recorder.row("E1", seq) for seq in range(1, 5)}
    deliver({1: rows[1], 2: rows[2]})
    birth(next_seq=5, held=[(1, 4)])
    assert deliver(rows) == Answer(committed={1, 2, 3, 4})
    assert counts(Telemetry) == [4]


def test_a_gateway_that_delivered_to_this_very_store_is_asked_for_nothing(birth, store, missing):
    assert birth(next_seq=9, held=[(1, 8)], store_epoch=store.epoch()) == []
    assert birth(next_seq=9, held=[(1, 8)], store_epoch=None) == []
    assert missing() == []


def test_a_birth_that_comes_again_is_answered_again_by_what_still_lacks(birth, missing, asks_for):
    """The order may have been lost with the replica that gave it, and to obey it twice is harmless."""
    assert birth(next_seq=9, held=[(2, 8)], times=2) == asks_for((2, 8))
    assert missing() == [(1, 1, LOST)]


def test_a_store_that_lacks_nothing_says_so(birth, deliver, recorder, missing, asks_for):
    """Or the gateway would never know that it has been heard."""
    deliver({1: recorder.row("E1", 1), 2: recorder.row("E1", 2)})
    assert birth(next_seq=3, held=[(2, 2)]) == asks_for()
    assert missing() == []


def test_the_first_store_that_a_gateway_knows_asks_as_well(birth, asks_for):
    assert birth(next_seq=9, held=[(2, 8)], store_epoch="") == asks_for((2, 8))


def test_one_command_asks_for_all_however_scattered_that_is(birth, deliver, recorder):
    deliver({seq: recorder.row("E1", seq) for seq in range(1, 401, 2)})
    ((_, order),) = birth(next_seq=401, held=[(1, 400)])
    assert len(order.ranges) == RESEND_RANGES_MAX
    asked = {seq for first, last in order.ranges for seq in range(first, last + 1)}
    assert asked >= set(range(2, 401, 2))


def test_a_birth_that_fell_back_is_a_conflict_and_asks_for_nothing(birth, deliver, recorder):
    deliver({1: recorder.row("E1", 1), 2: recorder.row("E1", 2)})
    assert birth(next_seq=2, held=[(1, 1)]) == []


def test_what_a_gateway_said_is_unavailable_is_asked_for_no_more(birth, store, clock, deliver, recorder, asks_for):
    """Though it may be in a list of what is held that had to be made coarse."""
    assert birth(next_seq=9, held=[(1, 8)]) == asks_for((1, 8))
    deliver({8: recorder.row("E1", 8)})
    reply = Reply(command_id="c", outcome="done", stream_id="stream-1", unavailable=[(4, 6)])
    commit(store, [ReplyArrival(GatewayTopic("hamburg", "gw-1", "reply"), reply, clock())])
    assert birth(next_seq=9, held=[(1, 8)]) == asks_for((1, 3), (7, 7))


def test_what_was_called_unavailable_before_it_was_there_is_asked_for(birth, store, clock, deliver, recorder, asks_for):
    deliver({seq: recorder.row("E1", seq) for seq in (1, 2, 10)})
    reply = Reply(command_id="c", outcome="done", stream_id="stream-1", unavailable=[(4, 1000)])
    commit(store, [ReplyArrival(GatewayTopic("hamburg", "gw-1", "reply"), reply, clock())])
    assert birth(next_seq=21, held=[(1, 20)]) == asks_for((3, 3), (11, 20))


def test_what_a_gateway_says_is_unavailable_is_noted_once(store, clock, deliver, recorder, missing):
    deliver({5: recorder.row("E1", 5)})
    reply = Reply(command_id="c", outcome="done", stream_id="stream-1", unavailable=[(4, 6)])
    for _ in range(2):
        commit(store, [ReplyArrival(GatewayTopic("hamburg", "gw-1", "reply"), reply, clock())])
    assert missing() == [(4, 4, UNAVAILABLE), (6, 6, UNAVAILABLE)]


@pytest.mark.parametrize("place", [{"gateway": "gw-9"}, {"site": "kiel"}])
def test_the_reply_of_an_unknown_gateway_changes_nothing(store, clock, missing, place):
    topic = GatewayTopic(**{"site": "hamburg", "gateway": "gw-1", "kind": "reply"} | place)
    reply = Reply(command_id="c", outcome="refused", reason="no", stream_id="stream-1", unavailable=[(4, 6)])
    assert commit(store, [ReplyArrival(topic, reply, clock())]).answers == {}
    assert missing() == []


def test_dropped_seqs_are_settled_by_their_gap_and_not_asked_about_again(birth, deliver, clock, missing, asks_for):
    deliver({8: Gap(gap_id="g", ranges=[(1, 4), (6, 6)], reason="disk full", noticed_at=clock())})
    assert missing() == [(1, 4, "disk full"), (6, 6, "disk full")]
    assert birth(next_seq=9) == asks_for()
    assert missing() == [(1, 4, "disk full"), (5, 5, LOST), (6, 6, "disk full"), (7, 7, LOST)]


def test_a_record_that_comes_after_its_gap_is_kept(deliver, recorder, clock, counts):
    deliver({8: Gap(gap_id="g", ranges=[(1, 4)], reason="disk full", noticed_at=clock())})
    assert deliver({3: recorder.row("E1", 3)}) == Answer(committed={3})
    assert counts(Telemetry, GapRecord) == [1, 1]
