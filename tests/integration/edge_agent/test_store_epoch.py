"""A centre that comes back with another store is told what the gateway still holds."""

from edge_agent.mqtt import Connected, Disconnected
from edge_agent.outbox import OutboxError


def told(box):
    """(store_epoch, held) of every birth so far."""
    return [(status.store_epoch, status.held) for status in box.link.statuses() if status.event == "birth"]


def delivered(make_box):
    """A box whose first three of five records the store of epoch one has committed."""
    box = make_box()
    box.outbox.accept([b"1", b"2", b"3", b"4", b"5"])
    box.turn(Connected(), box.centre(epoch="one"), box.ack(committed=[(1, 3)]))
    return box


def test_the_first_store_and_one_that_stays_the_same_are_told_nothing(make_box):
    box = delivered(make_box)
    box.turn(box.centre(False, epoch="one"), box.centre(True, epoch="one"))
    assert told(box) == [(None, [])]
    assert box.outbox.store_epoch == "one"


def test_another_store_is_told_what_is_held_acked_or_not_and_which_store_answered_last(make_box):
    box = delivered(make_box)
    box.turn(box.centre(epoch="two"))
    assert told(box)[1:] == [("one", [(1, 5)])]


def test_it_is_told_before_records_go_to_it(make_box):
    box = delivered(make_box)
    box.turn(box.centre(False, epoch="one"))
    box.link.published.clear()
    box.turn(box.centre(True, epoch="two"))
    assert [sent.topic.rsplit("/", 1)[1] for sent in box.link.published] == ["status", "records"]


def test_a_store_that_does_not_accept_is_not_yet_told(make_box):
    box = delivered(make_box)
    box.turn(box.centre(False, epoch="two"))
    assert len(told(box)) == 1


def test_it_is_told_once_on_each_connection_until_it_has_answered(make_box):
    box = delivered(make_box)
    box.turn(box.centre(epoch="two"), box.centre(epoch="two"))
    assert len(told(box)) == 2
    box.turn(Disconnected("cable"), Connected(), box.centre(epoch="two"))
    assert told(box)[2:] == [(None, []), ("one", [(1, 5)])]
    box.turn(box.ack(committed=[(4, 5)]))
    box.turn(Disconnected("cable"), Connected(), box.centre(epoch="two"))
    assert told(box)[4:] == [(None, [])]


def test_a_restarted_agent_remembers_which_store_answered(make_box):
    box = delivered(make_box)
    box.start()
    box.turn(Connected(), box.centre(epoch="two"))
    assert told(box) == [(None, []), ("one", [(1, 5)])]


def large(make_box, count=40_000):
    """A box that holds so much that listing it takes several turns."""
    box = make_box()
    box.outbox.accept([b"1"] * count)
    box.turn(Connected(), box.centre(epoch="one"), box.ack(committed=[(1, 3)]))
    return box


def turn_until_told(box, births, **turn):
    turns = 0
    while len(told(box)) < births:
        box.turn(**turn)
        turns += 1
        assert turns < 50
    return turns


def test_a_long_list_is_made_a_piece_at_a_time_and_has_what_comes_meanwhile(make_box):
    box = large(make_box)
    box.turn(box.centre(epoch="two"))
    assert len(told(box)) == 1
    box.outbox.accept([b"new"])
    assert turn_until_told(box, 2) > 1
    assert told(box)[1:] == [("one", [(1, 40_001)])]


def test_an_answer_that_comes_before_the_list_is_told_does_not_make_up_for_it(make_box):
    box = large(make_box)
    box.turn(box.centre(epoch="two"), box.ack(committed=[(4, 5)]))
    box.turn(Disconnected("cable"), Connected(), box.centre(epoch="two"))
    turn_until_told(box, 3)
    assert told(box)[2:] == [("one", [(1, 40_000)])]
    box.turn(box.ack(committed=[(6, 6)]))
    assert box.outbox.store_epoch == "two"


def test_a_list_that_cannot_be_made_is_no_reason_to_end(make_box, monkeypatch):
    box = large(make_box)

    def fail(*_):
        raise OutboxError("the disk does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(box.outbox, "_held_between", fail)
        box.turn(box.centre(epoch="two"))
    box.turn(box.centre(epoch="two"))
    turn_until_told(box, 2)
    assert told(box)[1:] == [("one", [(1, 40_000)])]
