from hypothesis import given
from hypothesis import strategies as st

from edge_agent.in_flight import InFlight, within
from shared.ranges import as_ranges, in_ranges

sets = st.sets(st.integers(1, 40), min_size=1)


def open_seqs(sent):
    return {seq for seq in range(50) if seq in sent}


@given(sets, st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), max_size=4))
def test_within_finds_what_lies_in_the_ranges(seqs, ranges):
    assert set(within(ranges, seqs)) == {seq for seq in seqs if in_ranges(seq, ranges)}


@given(st.lists(st.integers(1, 40), unique=True), st.integers(1, 5), sets)
def test_what_is_answered_is_no_longer_in_flight_and_all_else_is(seqs, size, answered):
    sent = InFlight(most=64)
    envelopes = [set(seqs[first : first + size]) for first in range(0, len(seqs), size)]
    for envelope in envelopes:
        sent.add(envelope, live=True, now_s=0.0)
    sent.answered(as_ranges(answered))
    assert open_seqs(sent) == set(seqs) - answered
    assert len(sent) == sum(bool(envelope - answered) for envelope in envelopes)


def test_only_what_is_overdue_is_taken_out():
    sent = InFlight(most=8)
    sent.add([1], live=True, now_s=1.0)
    sent.add([2], live=True, now_s=3.0)
    assert [lost.seqs for lost in sent.take_overdue(sent_before_s=2.0)] == [{1}]
    assert open_seqs(sent) == {2}


def test_a_lost_connection_takes_all_out():
    sent = InFlight(most=8)
    sent.add([1, 2], live=True, now_s=0.0)
    sent.add([3], live=False, now_s=0.0)
    assert [lost.seqs for lost in sent.take_all()] == [{1, 2}, {3}]
    assert (len(sent), open_seqs(sent)) == (0, set())


actions = st.lists(st.sampled_from(["live", "backlog", "answer", "late answer", "overdue", "lost"]), max_size=60)


@given(st.integers(2, 9), actions)
def test_p4_never_more_than_the_window_is_in_flight_and_neither_share_takes_the_others_room(most, steps):
    sent = InFlight(most=most)
    for seq, step in enumerate(steps):
        if step in ("live", "backlog") and sent.has_room(live=step == "live"):
            sent.add([seq], live=step == "live", now_s=0.0)
        elif step == "answer":
            sent.answered([(first, first) for first in sorted(open_seqs(sent))[:1]])
        elif step == "late answer":
            sent.answered([])
        elif step == "overdue":
            sent.take_overdue(sent_before_s=1.0)
        elif step == "lost":
            sent.take_all()
        assert len(sent) <= most
        if not len(sent):
            assert sent.has_room(live=True)
            assert sent.has_room(live=False)


def test_both_shares_together_make_the_window():
    sent = InFlight(most=5)
    for seq in range(20):
        live = sent.has_room(live=True)
        if live or sent.has_room(live=False):
            sent.add([seq], live=live, now_s=0.0)
    assert len(sent) == 5


def test_without_any_answer_the_window_closes_and_answers_open_it_again():
    sent = InFlight(most=8)
    sent.add([1], live=True, now_s=0.0)
    sent.take_all()
    sent.add([2], live=True, now_s=0.0)
    assert not sent.has_room(live=False)
    sent.answered([(2, 2)])
    sizes = []
    for first in range(10, 70, 20):
        for seq in range(first, first + 20):
            if sent.has_room(live=seq % 2 == 0):
                sent.add([seq], live=seq % 2 == 0, now_s=0.0)
        sizes.append(len(sent))
        sent.answered([(1, 100)])
    assert sizes == [2, 4, 8]


def test_a_lost_envelope_leaves_the_window_open_while_others_are_answered():
    sent = InFlight(most=8)
    sent.add([1], live=True, now_s=0.0)
    sent.add([2], live=True, now_s=0.0)
    sent.answered([(2, 2)])
    sent.take_all()
    sent.add([3], live=True, now_s=0.0)
    assert sent.has_room(live=True)
