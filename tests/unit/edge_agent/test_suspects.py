"""The rules by which a record is blamed for an envelope that gets no answer."""

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.in_flight import Sent
from edge_agent.suspects import MAX_RESTS, MAX_SUSPECTS, PARKED_REST_S, TRIES, Suspects
from shared.messages import ENVELOPE_MAX_RECORDS

REST_S = 5.0


def sent(*seqs, answers=0):
    return Sent(set(seqs), len(seqs), live=False, sent_at_s=0.0, answers=answers)


def fail(suspects, *seqs, times=1, answers=0, alone=False, now_s=0.0):
    parked = []
    for _ in range(times):
        parked += suspects.failed(sent(*seqs), answers=answers, alone=alone, now_s=now_s)
    return parked


def test_an_envelope_that_fails_alone_is_halved_and_each_half_again():
    suspects = Suspects(REST_S)
    fail(suspects, 1, 2, 3, 4, 5, times=TRIES - 1, alone=True)
    assert suspects.share(1) == ENVELOPE_MAX_RECORDS
    fail(suspects, 1, 2, 3, 4, 5, alone=True)
    assert suspects.share(1) == 2
    fail(suspects, 1, 2, alone=True)
    assert suspects.lone == {1, 2}
    assert suspects.share(5) == 2


def test_an_envelope_that_fails_with_all_others_is_not_to_blame():
    suspects = Suspects(REST_S)
    fail(suspects, 1, 2, times=50)
    assert suspects.share(1) == ENVELOPE_MAX_RECORDS


def test_each_failure_needs_new_answers_to_others_to_count():
    suspects = Suspects(REST_S)
    fail(suspects, 1, 2, times=50, answers=7)
    assert suspects.share(1) == ENVELOPE_MAX_RECORDS
    for answers in (8, 9):
        fail(suspects, 1, 2, answers=answers)
    assert suspects.lone == {1, 2}


def made_lone(suspects, *seqs):
    fail(suspects, *seqs, 999, times=TRIES, alone=True)
    suspects.clear([999])


def test_a_lone_record_is_parked_after_its_tries_and_only_while_others_are_answered():
    suspects = Suspects(REST_S)
    made_lone(suspects, 1)
    assert fail(suspects, 1, times=50, alone=True) == []
    parked = [fail(suspects, 1, answers=answers, now_s=10.0) for answers in range(1, TRIES + 1)]
    assert parked == [*[[]] * (TRIES - 1), [1]]
    assert suspects.parked == [1]
    assert suspects.next_lone(10.0 + PARKED_REST_S - 1) is None
    assert suspects.next_lone(10.0 + PARKED_REST_S) == 1
    assert fail(suspects, 1, answers=99) == []


def test_a_lone_record_rests_longer_each_time_so_that_others_go_first():
    suspects = Suspects(REST_S)
    made_lone(suspects, 1)
    rests = []
    for _ in range(MAX_RESTS + 3):
        fail(suspects, 1)
        rests.append(next(second for second in range(100) if suspects.next_lone(second) == 1))
    assert rests == [0, 5, 10, 15, 20, 20, 20]


def test_of_lone_records_the_one_that_failed_least_goes_first():
    suspects = Suspects(REST_S)
    fail(suspects, 1, 2, times=TRIES, alone=True)
    fail(suspects, 1)
    assert suspects.next_lone(0.0) == 2


def test_a_record_that_travels_alone_by_chance_is_not_lone():
    suspects = Suspects(REST_S)
    fail(suspects, 1, times=50, alone=True)
    assert suspects.lone == set()


@given(st.sets(st.integers(1, 20), min_size=2), st.sets(st.integers(1, 20)))
def test_what_is_answered_is_cleared_of_all_suspicion(failed, answered):
    suspects = Suspects(REST_S)
    fail(suspects, *failed, times=TRIES + 9, alone=True)
    suspects.answered([(seq, seq) for seq in answered])
    assert suspects.lone <= failed - answered
    assert {seq for seq in failed if suspects.share(seq) < ENVELOPE_MAX_RECORDS} == failed - answered


def test_a_new_stream_starts_without_suspicion():
    suspects = Suspects(REST_S)
    made_lone(suspects, 1)
    suspects.forget()
    assert (suspects.lone, suspects.share(1)) == (set(), ENVELOPE_MAX_RECORDS)


def test_p4_the_memory_of_suspicion_is_bounded():
    suspects = Suspects(REST_S)
    for first in range(0, 3 * MAX_SUSPECTS, 500):
        fail(suspects, *range(first, first + 500))
    assert len(suspects._suspects) <= MAX_SUSPECTS + 500
