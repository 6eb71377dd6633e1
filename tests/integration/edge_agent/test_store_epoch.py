"""A centre that comes back with another store is told what the gateway still holds."""

from edge_agent.mqtt import Connected, Disconnected


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
