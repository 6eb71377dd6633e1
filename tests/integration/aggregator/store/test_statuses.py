"""Status messages: the last one counts, old ones do not, and copies of a box are noticed."""

from datetime import timedelta

import msgspec
import pytest

from aggregator.store.arrivals import Answer, StatusArrival
from aggregator.store.commit import commit
from aggregator.store.statuses import SESSIONS_KEPT
from aggregator.store.tables import Gateway, Quarantine, Stream
from shared.messages import OutboxStatus, Session, SourceStatus, Status
from shared.topics import GatewayTopic


@pytest.fixture(autouse=True)
def _registered(recorder):
    recorder.register("E1")


@pytest.fixture
def say(store, clock):
    """Send a status, a second later than the one before; returns the answer, if there is one."""

    def send(event, counter=1, nonce="n", stream="stream-1", next_seq=1, gateway="gw-1"):
        clock.advance(1)
        status = Status(
            event=event,
            session=Session(counter=counter, boot_nonce=nonce),
            stream_id=stream,
            next_seq=next_seq,
            sent_at=clock(),
            heartbeat_interval_s=15.0,
            agent_version="0.1.0",
            engines=["E1"],
            source=SourceStatus(kind="file", state="reading"),
            outbox=OutboxStatus(),
        )
        arrival = StatusArrival(GatewayTopic("hamburg", gateway, "status"), status, clock())
        return next(iter(commit(store, [arrival]).answers.values()), None)

    return send


@pytest.fixture
def last(rows):
    def read():
        (row,) = rows(Gateway)
        return row["event"], row["session_counter"], row["stream_id"], row["next_seq"]

    return read


def test_the_last_status_is_remembered_whole(say, rows, clock):
    assert say("birth", next_seq=5) is None
    (row,) = rows(Gateway)
    assert (row["event"], row["boot_nonce"], row["next_seq"], row["received_at"]) == ("birth", "n", 5, clock())
    assert row["report"]["source"] == {
        "kind": "file",
        "state": "reading",
        "rows": 0,
        "refused_rows": 0,
        "samples": 0,
        "dropped_samples": 0,
        "last_row_at": None,
        "last_error": None,
    }


def test_heartbeats_move_next_seq_and_a_will_does_not(say, last):
    say("birth", next_seq=1)
    say("heartbeat", next_seq=9)
    assert last() == ("heartbeat", 1, "stream-1", 9)
    say("will", next_seq=1)
    assert last() == ("will", 1, "stream-1", 9)


@pytest.mark.parametrize("event", ["will", "stopped", "heartbeat"])
def test_what_an_older_session_left_behind_is_ignored(say, last, event):
    say("birth", counter=2, nonce="new")
    assert say(event, counter=1, nonce="old") is None
    assert last() == ("birth", 2, "stream-1", 1)


def test_a_will_of_a_session_never_heard_of_counts(say, last):
    say("birth", counter=1)
    say("will", counter=2, nonce="m", next_seq=4)
    assert last() == ("will", 2, "stream-1", 4)


def test_a_new_session_that_goes_on_is_accepted(say, deliver, recorder, last):
    say("birth", counter=1)
    deliver({1: recorder.row("E1", 1)})
    assert say("birth", counter=2, nonce="m", next_seq=2) is None
    assert last() == ("birth", 2, "stream-1", 2)


def test_a_birth_repeated_in_its_session_is_no_conflict(say, deliver, recorder):
    say("birth", next_seq=1)
    deliver({1: recorder.row("E1", 1)})
    assert say("birth", next_seq=1) is None


def test_a_birth_whose_next_seq_fell_back_refuses_the_stream(say, deliver, recorder):
    say("birth", counter=7, next_seq=1)
    deliver({1: recorder.row("E1", 1), 2: recorder.row("E1", 2)})
    answer = say("birth", counter=3, nonce="restored", next_seq=2)
    assert answer == Answer(conflict="next_seq fell back to 2 although seq 2 was taken: a restored outbox")
    assert deliver({3: recorder.row("E1", 3)}) == answer


def test_a_birth_that_comes_again_after_the_next_session_has_begun_is_no_conflict(say, deliver, recorder, last):
    """Another replica may have taken the next session and its records already."""
    say("birth", counter=1, nonce="n")
    deliver({1: recorder.row("E1", 1)})
    say("birth", counter=2, nonce="m", next_seq=2)
    deliver({2: recorder.row("E1", 2)})
    assert say("birth", counter=1, nonce="n", next_seq=1) is None
    assert last() == ("birth", 2, "stream-1", 2)
    assert deliver({3: recorder.row("E1", 3)}) == Answer(committed={3})


@pytest.mark.parametrize("event", ["heartbeat", "will", "stopped"])
@pytest.mark.parametrize("counter", [3, 8])
def test_a_birth_is_judged_also_after_another_status_of_its_session(say, deliver, recorder, counter, event):
    say("birth", counter=7)
    deliver({1: recorder.row("E1", 1), 2: recorder.row("E1", 2)})
    assert say(event, counter=counter, nonce="restored", next_seq=2) is None
    assert "fell back" in say("birth", counter=counter, nonce="restored", next_seq=2).conflict


def test_a_birth_that_goes_on_after_a_heartbeat_of_its_session_is_no_conflict(say, deliver, recorder):
    say("birth", counter=7)
    say("heartbeat", counter=8, nonce="m")
    deliver({1: recorder.row("E1", 1)})
    assert say("birth", counter=8, nonce="m", next_seq=2) is None
    assert say("birth", counter=8, nonce="m", next_seq=1) is None


def test_a_copy_of_a_session_known_by_a_heartbeat_alone_is_a_conflict(say):
    say("heartbeat", counter=8, nonce="original")
    assert "cloned outbox" in say("birth", counter=8, nonce="clone").conflict


def test_a_copy_of_an_earlier_session_is_a_conflict_as_well(say):
    for counter in (1, 2, 3):
        say("birth", counter=counter, nonce="original")
    answer = say("birth", counter=2, nonce="clone")
    assert answer.conflict == "session 2 of this stream came with another boot nonce: a cloned outbox"


def test_how_many_sessions_are_remembered_is_bounded(say, rows):
    for counter in range(1, SESSIONS_KEPT + 3):
        say("birth", counter=counter, nonce=f"n{counter}")
    assert rows(Stream)[0]["sessions"] == [[counter, f"n{counter}"] for counter in range(3, SESSIONS_KEPT + 3)]


def test_a_session_that_began_on_another_stream_is_remembered_on_this_one(say, deliver, recorder):
    say("birth", counter=1, nonce="n")
    say("birth", counter=1, nonce="n", stream="stream-2")
    deliver({1: recorder.row("E1", 1)}, stream="stream-2")
    say("birth", counter=2, nonce="m", stream="stream-2", next_seq=2)
    assert say("birth", counter=1, nonce="n", stream="stream-2", next_seq=1) is None


def test_records_that_overtake_their_birth_are_no_conflict(say, deliver, recorder, clock):
    say("birth", counter=1, next_seq=1)
    clock.advance(10)
    deliver({1: recorder.row("E1", 1)})
    clock.at -= timedelta(seconds=5)
    assert say("birth", counter=2, nonce="m", next_seq=1) is None


def test_a_session_that_comes_again_with_another_nonce_refuses_the_stream(say, last, rows):
    say("birth", counter=4, nonce="original")
    answer = say("birth", counter=4, nonce="clone")
    assert answer.conflict == "session 4 of this stream came with another boot nonce: a cloned outbox"
    assert say("heartbeat", counter=4, nonce="original") == answer
    assert rows(Stream)[0]["conflict"] == answer.conflict


def test_a_new_stream_ends_the_conflict(say, last, deliver, recorder):
    say("birth", counter=4, nonce="original")
    say("birth", counter=4, nonce="clone")
    assert say("birth", counter=4, nonce="clone", stream="stream-2") is None
    assert last() == ("birth", 4, "stream-2", 1)
    assert deliver({1: recorder.row("E1", 1)}, stream="stream-2") == Answer(committed={1})
    say("heartbeat", counter=9, nonce="late", stream="stream-1")
    assert last() == ("birth", 4, "stream-2", 1)


def test_the_status_of_an_unknown_gateway_changes_nothing(say, rows, counts):
    assert say("birth", gateway="gw-9") is None
    assert [row["event"] for row in rows(Gateway)] == [None]
    assert counts(Stream, Quarantine) == [0, 0]


def test_a_status_that_the_database_refuses_is_quarantined(store, recorder, rows, clock, say):
    say("birth")
    (row,) = rows(Gateway)
    status = msgspec.convert(row["report"], Status)
    poison = msgspec.structs.replace(status, session=Session(counter=2**70, boot_nonce="n"))
    commit(store, [StatusArrival(GatewayTopic("hamburg", "gw-1", "status"), poison, clock())])
    assert [kept["topic"] for kept in rows(Quarantine)] == ["spoolwatch/v1/hamburg/gw-1/status"]
