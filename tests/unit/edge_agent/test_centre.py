from datetime import UTC, datetime

from edge_agent.centre import Centre, Silence
from shared.messages import CentreStatus


def status(replica, *, accepting, epoch="e"):
    return CentreStatus(
        replica=replica, accepting=accepting, store_epoch=epoch, sent_at=datetime(2026, 1, 1, tzinfo=UTC)
    )


def test_a_centre_nobody_has_heard_of_is_taken_to_accept():
    assert Centre().accepts
    assert Centre().store_epoch is None


def test_one_accepting_replica_is_enough():
    centre = Centre()
    centre.note(status("a", accepting=False))
    assert not centre.accepts
    centre.note(status("b", accepting=True))
    assert centre.accepts
    centre.note(status("b", accepting=False))
    assert not centre.accepts


def test_the_store_is_the_one_that_accepts():
    centre = Centre()
    centre.note(status("a", accepting=True, epoch="one"))
    centre.note(status("b", accepting=False, epoch="two"))
    assert centre.store_epoch == "one"


def test_silence_counts_from_the_first_record_that_waits():
    silence = Silence(30.0)
    assert not silence.is_too_long(now_s=100.0)
    silence.asked(now_s=100.0)
    silence.asked(now_s=120.0)
    assert not silence.is_too_long(now_s=129.0)
    assert silence.is_too_long(now_s=130.0)
    assert not silence.is_too_long(now_s=131.0)


def test_an_answer_or_a_new_connection_starts_the_count_again():
    for restart in (Silence.heard, Silence.restart):
        silence = Silence(30.0)
        silence.asked(now_s=0.0)
        restart(silence)
        assert not silence.is_too_long(now_s=50.0)
        silence.asked(now_s=50.0)
        assert silence.is_too_long(now_s=80.0)


def test_each_further_time_takes_twice_as_long_until_there_is_an_answer():
    silence = Silence(10.0)

    def wait():
        silence.asked(now_s=0.0)
        return next(second for second in range(5000) if silence.is_too_long(now_s=second))

    assert [wait() for _ in range(9)] == [10, 20, 40, 80, 160, 320, 640, 640, 640]
    silence.heard()
    assert wait() == 10
