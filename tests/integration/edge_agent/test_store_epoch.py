"""A centre that comes back with another store is told what the gateway holds until it has asked for what it lacks."""

from itertools import pairwise

import pytest

from edge_agent.inventory import REPEAT_MAX_S, REPEAT_S
from edge_agent.mqtt import Connected, Disconnected
from edge_agent.outbox import OutboxError


def told(box):
    """(store_epoch, held) of every birth so far that told of what is held."""
    return [(status.store_epoch, status.held) for status in box.link.statuses() if status.store_epoch is not None]


def deliver(box):
    """The store of epoch one has committed the first three of five records."""
    box.outbox.accept([b"1", b"2", b"3", b"4", b"5"])
    box.turn(Connected(), box.centre(epoch="one"))
    box.turn(box.ack(committed=[(1, 3)]))
    return box


@pytest.fixture
def box(make_keyed_box):
    return deliver(make_keyed_box())


@pytest.fixture
def keyless(make_box):
    return deliver(make_box())


def test_the_first_store_and_one_that_stays_the_same_are_told_nothing(box):
    box.turn(box.centre(False, epoch="one"), box.centre(True, epoch="one"))
    assert box.link.events_told() == ["birth"]
    assert told(box) == []
    assert box.outbox.store_epoch == "one"


def test_another_store_is_told_what_is_held_acked_or_not_and_which_one_was_delivered_to(box):
    box.turn(box.centre(epoch="two"))
    assert told(box) == [("one", [(1, 5)])]


def test_it_is_told_before_records_go_to_it(box):
    box.turn(box.centre(False, epoch="one"))
    box.link.published.clear()
    box.turn(box.centre(True, epoch="two"))
    assert [sent.topic.rsplit("/", 1)[1] for sent in box.link.published] == ["status", "records"]


def test_a_store_that_does_not_accept_is_not_yet_told(box):
    box.turn(box.centre(False, epoch="two"))
    assert told(box) == []


def test_a_store_whose_command_was_obeyed_is_the_one_delivered_to_also_after_a_restart(box):
    box.turn(box.centre(epoch="two"))
    box.turn(box.resend((2, 3), epoch="two"))
    assert box.outbox.status().unacked == 4
    box.turn(after_s=2 * REPEAT_S)
    box.turn(Disconnected("cable"), Connected(), box.centre(epoch="two"))
    assert len(told(box)) == 1
    box.start()
    box.turn(Connected(), box.centre(epoch="two"))
    assert told(box) == []
    box.turn(box.centre(epoch="three"))
    assert told(box) == [("two", [(1, 5)])]


def test_a_store_that_lacks_nothing_says_so_and_is_told_no_more(box):
    box.turn(box.centre(epoch="two"))
    box.turn(box.resend(epoch="two"))
    box.turn(after_s=2 * REPEAT_S)
    assert (len(told(box)), box.outbox.store_epoch) == (1, "two")


def test_until_it_asks_for_nothing_that_is_gone_a_store_is_told_again(box):
    """The reply that names what is gone may be lost."""
    box.outbox._file.execute("DELETE FROM history WHERE seq = 2")
    box.turn(box.centre(epoch="two"))
    box.turn(box.resend((1, 5), epoch="two", command_id="c-1"))
    assert [reply.unavailable for reply in box.link.replies()] == [[(2, 2)]]
    box.turn(after_s=REPEAT_S)
    assert told(box) == [("one", [(1, 1), (3, 5)])] * 2
    box.turn(box.resend((1, 1), (3, 5), epoch="two", command_id="c-2"))
    box.turn(after_s=REPEAT_S)
    assert (len(told(box)), box.outbox.store_epoch) == (2, "two")


def ask_for_what_is_gone(box, command_id="c-1"):
    box.outbox._file.execute("DELETE FROM history WHERE seq = 2")
    box.turn(box.centre(epoch="two"))
    box.turn(box.resend((1, 5), epoch="two", command_id=command_id))


def test_a_store_that_goes_on_asking_for_what_is_gone_is_told_less_and_less_often(box):
    """What lacks in very many places is asked for in ranges so coarse that they go on taking in what is gone."""
    pauses_s = []
    for number in range(9):
        ask_for_what_is_gone(box, command_id=f"c-{number}")
        before, pause_s = len(told(box)), 0
        while len(told(box)) == before:
            box.turn(box.resend((2, 2), epoch="two", command_id=f"c-{number} late"))
            box.turn(Disconnected("cable"), Connected(), box.centre(epoch="two"), after_s=REPEAT_S)
            pause_s += REPEAT_S
            assert pause_s <= REPEAT_MAX_S
        pauses_s.append(pause_s)
    assert pauses_s == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


def test_another_store_and_another_stream_are_told_at_once_whatever_one_has_asked_for(box):
    ask_for_what_is_gone(box)
    box.turn(box.centre(epoch="three"))
    assert told(box)[1:] == [("one", [(1, 1), (3, 5)])]
    box.turn(box.resend((1, 5), epoch="three", command_id="c-2"), box.ack(conflict="a copy"))
    while box.outbox.is_renumbering:
        box.turn()
    box.turn()
    assert box.link.statuses()[-1].stream_id == box.outbox.stream_id
    assert len(told(box)) == 3


def test_acks_are_no_sign_that_it_has_asked(box):
    """The birth or the command may be lost although acks come."""
    box.turn(box.centre(epoch="two"))
    box.turn(box.ack(committed=[(4, 5)]))
    assert box.outbox.store_epoch == "one"
    box.turn(Disconnected("cable"), Connected(), box.ack(committed=[(4, 5)]), box.centre(epoch="two"))
    assert told(box) == [("one", [(1, 5)])] * 2


def test_until_it_has_asked_it_is_told_again_on_each_connection_by_each_replica_and_every_minute(box):
    box.turn(box.centre(epoch="two"), box.centre(epoch="two", replica="b"))
    assert len(told(box)) == 1
    box.turn(after_s=REPEAT_S / 2)
    assert len(told(box)) == 1
    box.turn(box.centre(epoch="two", replica="c"))
    assert len(told(box)) == 2
    box.turn(Disconnected("cable"), Connected())
    assert len(told(box)) == 3
    box.turn(after_s=REPEAT_S)
    assert len(told(box)) == 4


def test_while_it_does_not_accept_it_is_not_told_again(box):
    box.turn(box.centre(epoch="two"))
    box.turn(box.centre(False, epoch="two"))
    box.turn(after_s=2 * REPEAT_S)
    assert len(told(box)) == 1


def test_a_command_about_another_stream_is_no_sign_that_it_has_asked(box):
    box.turn(box.centre(epoch="two"))
    box.turn(box.resend(epoch="two", stream_id="left-long-ago"))
    assert box.outbox.store_epoch == "one"


def test_what_is_held_in_a_new_stream_is_told_anew(box):
    box.turn(box.centre(epoch="two"))
    box.turn(box.ack(conflict="a copy"))
    *_, last = box.link.statuses()
    assert (last.stream_id, last.store_epoch) == (box.outbox.stream_id, "one")
    assert last.held[-1][1] == box.outbox.next_seq - 1


def test_records_acked_by_a_store_that_is_not_known_are_told_to_the_first_one_that_is(make_keyed_box):
    box = make_keyed_box()
    box.outbox.accept([b"1"])
    box.turn(Connected())
    box.turn(box.ack(committed=[(1, 1)]))
    box.turn(box.centre(epoch="one"))
    assert (told(box), box.outbox.store_epoch) == ([("", [(1, 1)])], None)


def test_a_gateway_that_cannot_be_asked_tells_it_once_on_each_connection(keyless):
    keyless.turn(keyless.centre(epoch="two"))
    keyless.turn(keyless.centre(epoch="two", replica="b"), after_s=2 * REPEAT_S)
    assert told(keyless) == [("one", [(1, 5)])]
    keyless.turn(keyless.centre(epoch="three"))
    assert len(told(keyless)) == 2
    keyless.turn(Disconnected("cable"), Connected(), keyless.centre(epoch="three"))
    assert len(told(keyless)) == 3


def test_an_interrupted_list_is_told_on_the_next_connection(make_keyed_box):
    box = large(make_keyed_box)
    box.turn(box.centre(epoch="two"))
    box.turn(Disconnected("cable"))
    box.turn(Connected(), box.ack(committed=[(6, 6)]), box.centre(epoch="two"))
    turn_until_told(box)
    assert told(box) == [("one", [(1, 40_000)])]


def large(make_keyed_box, count=40_000):
    """A box that holds so much that listing it takes several turns."""
    box = make_keyed_box()
    box.outbox.accept([b"1"] * count)
    box.turn(Connected(), box.centre(epoch="one"))
    box.turn(box.ack(committed=[(1, 3)]))
    return box


def turn_until_told(box, **turn):
    turns = 0
    while not told(box):
        box.turn(**turn)
        turns += 1
        assert turns < 50
    return turns


def test_a_long_list_is_made_a_piece_at_a_time_and_has_what_comes_meanwhile(make_keyed_box):
    box = large(make_keyed_box)
    box.turn(box.centre(epoch="two"))
    assert told(box) == []
    box.outbox.accept([b"new"])
    assert turn_until_told(box) > 1
    assert told(box) == [("one", [(1, 40_001)])]


def test_a_list_of_an_outbox_that_is_damaged_meanwhile_is_told_of_no_other_stream(make_keyed_box, tmp_path):
    box = large(make_keyed_box)
    box.turn(box.centre(epoch="two"))
    (tmp_path / "outbox.db").unlink()
    box.outbox.accept([b"new"])
    for _ in range(10):
        box.turn()
    births = box.link.statuses()
    assert births[-1].stream_id != births[0].stream_id
    assert all(last < birth.next_seq for birth in births for _, last in birth.held)


def test_a_reply_goes_through_a_broker_of_small_packets(make_keyed_box):
    box = make_keyed_box()
    box.outbox.accept([b"1"] * 2000)
    box.outbox._file.execute("DELETE FROM telemetry WHERE seq % 2 = 0")
    box.turn(Connected(4096), box.centre(), box.resend((1, 2000)))
    for _ in range(1000):
        if box.link.replies():
            break
        box.turn()
    assert max(len(sent.payload) for sent in box.link.published) < 4096
    unavailable = [
        seq for reply in box.link.replies() for one in reply.unavailable for seq in range(one[0], one[1] + 1)
    ]
    assert unavailable == list(range(2, 2001, 2))


def test_a_list_of_very_many_ranges_joins_the_nearest(make_keyed_box):
    box = make_keyed_box()
    box.outbox.accept([b"1"] * 9000)
    box.turn(Connected(), box.centre(epoch="one"))
    box.outbox._file.execute("DELETE FROM telemetry WHERE seq % 3 = 0 OR seq BETWEEN 4000 AND 5000")
    box.turn(box.centre(epoch="two"))
    turn_until_told(box)
    ((_, held),) = told(box)
    assert len(held) == 1000
    assert (held[0][0], held[-1][1]) == (1, 8999)
    assert any(before[1] == 3998 and after[0] == 5002 for before, after in pairwise(held))


@pytest.mark.parametrize("can_be_asked", [True, False])
def test_a_list_that_cannot_be_made_is_no_reason_to_end(can_be_asked, make_keyed_box, make_box, monkeypatch):
    box = large(make_keyed_box if can_be_asked else make_box)

    def fail(*_):
        raise OutboxError("the disk does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(box.outbox, "_held_between", fail)
        box.turn(box.centre(epoch="two"))
    box.turn(after_s=REPEAT_S)
    turn_until_told(box)
    assert told(box) == [("one", [(1, 40_000)])]
