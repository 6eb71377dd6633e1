import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.ingest.acks import ACK_MAX_BYTES, LINGER_S, PendingAcks, as_acks
from aggregator.store.arrivals import Answer, Outcome
from aggregator.store.ranges import union
from shared.messages import Ack, Deferred, Quarantined, encode
from shared.ranges import as_ranges, in_ranges
from shared.topics import GatewayTopic

TOPIC = GatewayTopic("hamburg", "gw-1", "records")
ACK = GatewayTopic("hamburg", "gw-1", "ack")


class Clock:
    at_s = 100.0

    def __call__(self):
        return self.at_s


def outcome(**answer):
    result = Outcome()
    result.answer(TOPIC, "s").add(Answer(**answer))
    return result


def test_an_answer_is_spelt_in_ranges():
    answer = Answer(committed={1, 2, 3, 9}, quarantined={5: "bad", 4: "x" * 2000}, deferred={7: "new", 8: "new"})
    (ack,) = as_acks("s", answer)
    assert ack == Ack(
        stream_id="s",
        committed=[(1, 3), (9, 9)],
        quarantined=[Quarantined(seq=4, reason="x" * 500), Quarantined(seq=5, reason="bad")],
        deferred=[Deferred(range=(7, 8), reason="new", retry_after_s=300.0)],
    )


@given(
    fates=st.dictionaries(
        st.integers(1, 2**63 - 1), st.sampled_from(["committed", "bad", "new", "\1" * 2000, "\U0001f6e9" * 2000])
    ),
    run=st.integers(1, 300),
)
@settings(deadline=None)
def test_acks_say_all_of_an_answer_and_each_fits_into_the_least_packet(fates, run):
    fates |= dict.fromkeys(range(1, 2 * run, 2), "committed") | dict.fromkeys(range(2, 2 * run, 20), "bad")
    deferred = {seq for seq, fate in fates.items() if fate == "new"}
    committed = {seq for seq, fate in fates.items() if fate == "committed"}
    quarantined = {seq: fate for seq, fate in fates.items() if seq not in committed | deferred}
    acks = list(as_acks("\1" * 64, Answer(committed, quarantined, dict.fromkeys(deferred, "\1" * 1000))))
    assert max(len(encode(ack)) for ack in acks) <= ACK_MAX_BYTES
    assert union(*(ack.committed for ack in acks)) == as_ranges(committed)
    told = {one.seq: one.reason for ack in acks for one in ack.quarantined}
    assert told == {seq: reason[:500] for seq, reason in quarantined.items()}
    assert union(one.range for ack in acks for one in ack.deferred) == as_ranges(deferred)


def test_answers_to_one_stream_become_one_ack_and_are_taken_once():
    pending = PendingAcks()
    pending.add(outcome(committed={1}))
    pending.add(outcome(committed={2}, quarantined={3: "bad"}))
    ((topic, ack),) = pending.take(9)
    assert (topic, ack.committed, [one.seq for one in ack.quarantined]) == (ACK, [(1, 2)], [3])
    assert pending.take(9) == []


def test_at_most_so_many_are_taken_at_once_and_the_rest_stays_due():
    pending = PendingAcks(Clock())
    pending.add(outcome(quarantined=dict.fromkeys((1, 2), "\1" * 500)))
    assert len(pending.take(1)) == 1
    assert pending.due_in_s() == 0
    pending.add(outcome(conflict="cloned"))
    assert [ack.conflict for _, ack in pending.take(9)] == [None, "cloned"]
    assert pending.due_in_s() == float("inf")


def test_a_conflict_answers_for_everything_before_and_after_it():
    pending = PendingAcks()
    for answer in ({"committed": {1}}, {"conflict": "cloned"}, {"committed": {2}}):
        pending.add(outcome(**answer))
    assert pending.take(9) == [(ACK, Ack(stream_id="s", conflict="cloned"))]


def test_a_few_commits_wait_a_moment_for_more():
    pending = PendingAcks(clock := Clock())
    assert pending.due_in_s() == float("inf")
    pending.add(outcome(committed={1}))
    clock.at_s += LINGER_S / 2
    pending.add(outcome(committed={2}))
    assert pending.take(9) == []
    assert pending.due_in_s() == LINGER_S / 2
    clock.at_s += LINGER_S / 2
    assert pending.take(9) == [(ACK, Ack(stream_id="s", committed=[(1, 2)]))]


@pytest.mark.parametrize(
    "answer",
    [{"committed": {1, 2, 3, 4}}, {"quarantined": {1: "bad"}}, {"deferred": {1: "new"}}, {"conflict": "clone"}],
)
def test_what_a_gateway_may_wait_for_is_due_at_once(answer):
    pending = PendingAcks(Clock())
    pending.add(outcome(**answer))
    assert pending.due_in_s() == 0
    assert len(pending.take(9)) == 1


@given(parts=st.lists(st.sets(st.integers(1, 40)), min_size=1, max_size=6))
def test_an_ack_names_exactly_what_was_committed(parts):
    pending = PendingAcks(clock := Clock())
    for part in parts:
        pending.add(outcome(committed=part))
    clock.at_s += LINGER_S
    ((_, ack),) = pending.take(9)
    assert {seq for seq in range(1, 41) if in_ranges(seq, ack.committed)} == set().union(*parts)
