"""Commands reach a real outbox only if the centre's key has signed them."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from edge_agent.commands import PIECES_AT_ONCE, REPLIES_KEPT
from edge_agent.mqtt import Connected, Received
from edge_agent.outbox import OutboxError
from edge_agent.outbox.history import PIECE_ROWS
from shared import messages as m
from shared.errors import RowError

OWN = "spoolwatch/v1/hamburg/gw-1"
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture
def box(make_keyed_box):
    """Six records, all of them committed at the centre, the first two no longer held."""
    box = make_keyed_box()
    box.outbox.accept([b"1", b"2", b"3", b"4", b"5", b"6"])
    box.turn(Connected(), box.ack(committed=[(3, 6)], quarantined=[m.Quarantined(seq=s, reason="bad") for s in (1, 2)]))
    box.link.published.clear()
    return box


def unacked(box):
    return [stored.body for stored in box.outbox.waiting(1, 99, limit=99, at=box.now_s)]


def test_records_asked_for_go_out_again_as_backfill_and_what_is_gone_is_named(box):
    box.turn(box.resend((1, 4)))
    assert box.link.seqs("backfill") == [[3, 4]]
    assert box.link.replies() == [
        m.Reply(command_id="c-1", outcome="done", stream_id=box.outbox.stream_id, unavailable=[(1, 2)])
    ]


@pytest.mark.parametrize("order", [m.Resend, m.SendAgain])
def test_what_is_yet_to_come_is_not_called_unavailable(box, order):
    epoch = {"store_epoch": "one"} if order is m.Resend else {}
    box.turn(box.command(order(stream_id=box.outbox.stream_id, ranges=[(1, 1000), (2000, 3000)], **epoch)))
    while box.delivery._commands.is_busy:
        box.turn()
    (reply,) = box.link.replies()
    assert (reply.outcome, reply.unavailable, box.outbox.next_seq) == ("done", [(1, 2)], 7)


def test_a_command_that_comes_twice_is_obeyed_once_and_answered_twice(box):
    box.turn(box.resend((1, 4)))
    box.turn(box.ack(committed=[(3, 4)]))
    box.turn(box.resend((1, 4)))
    assert unacked(box) == []
    assert len(box.link.replies()) == 2


def test_the_memory_for_commands_is_bounded(box):
    for number in range(REPLIES_KEPT + 2):
        box.turn(box.resend(command_id=f"c-{number}"))
    assert len(box.delivery._commands._replies) == REPLIES_KEPT


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"gateway": "gw-2"}, "meant for gateway gw-2 at hamburg"),
        ({"site": "bremen"}, "meant for gateway gw-1 at bremen"),
    ],
)
def test_p8_a_command_for_another_is_refused_with_its_reason(box, changes, reason):
    box.turn(box.resend((1, 4), **changes))
    assert unacked(box) == []
    (reply,) = box.link.replies()
    assert reply.outcome == "refused"
    assert reason in reply.reason


@pytest.mark.parametrize("changes", [{"key": STRANGER}, {"retained": True}, {"v": 2}])
def test_p8_what_the_centre_did_not_sign_now_is_neither_obeyed_nor_answered(box, changes, capsys):
    box.turn(box.resend((1, 4), **changes))
    assert unacked(box) == []
    assert box.link.replies() == []
    assert "message_not_used" in capsys.readouterr().out


def test_p8_without_a_key_no_command_is_obeyed(make_box, tmp_path, capsys):
    box = make_box()
    box.outbox.accept([b"1"])
    box.turn(Connected(), box.ack(committed=[(1, 1)]))
    box.turn(box.resend((1, 1)))
    assert unacked(box) == []
    assert box.link.replies() == []
    assert "centre_key" in capsys.readouterr().out


def test_what_is_no_command_at_all_changes_nothing(box):
    box.turn(Received(f"{OWN}/command", b"{", False))
    assert box.link.published == []


@pytest.mark.parametrize("clock_s", [0.0, 2e9])
def test_no_clock_keeps_the_centre_from_being_made_whole(box, clock_s):
    asked = box.resend((3, 4))
    box.now_s = clock_s
    box.turn(asked)
    assert box.link.replies()[0].outcome == "done"
    assert unacked(box) == [b"3", b"4"]


def test_what_is_unavailable_is_told_in_several_replies_where_it_is_much(make_keyed_box):
    box = make_keyed_box()
    box.outbox.accept([b"%d" % number for number in range(1, 2002)])
    box.outbox.settle(m.Ack(stream_id=box.outbox.stream_id, committed=[(seq, seq) for seq in range(1, 2002, 2)]), at=0)
    box.outbox._file.execute("DELETE FROM history")
    box.turn(Connected(), box.resend((1, 2001)))
    while box.delivery._commands.is_busy:
        box.turn()
    first, second = box.link.replies()
    assert (len(first.unavailable), second.unavailable) == (1000, [(2001, 2001)])
    assert first.command_id == second.command_id


def large(make_keyed_box, count=40_000):
    """A box that holds so much that taking it back takes several turns."""
    box = make_keyed_box()
    box.outbox.accept([b"1"] * count)
    box.turn(Connected(), box.centre(epoch="one"))
    box.turn(box.ack(committed=[(1, count)]))
    return box


def test_much_is_taken_back_a_piece_at_a_time_and_answered_once_it_is_done(make_keyed_box):
    box = large(make_keyed_box)
    box.turn(box.resend((1, 40_000), epoch="two"))
    before = 0
    while before < 40_000:
        assert (box.link.replies(), box.outbox.store_epoch) == ([], "one")
        box.turn()
        assert box.outbox.status().unacked - before < 10_000
        before = box.outbox.status().unacked
    box.turn()
    assert (box.outbox.status().unacked, box.outbox.store_epoch) == (40_000, "two")
    assert [reply.outcome for reply in box.link.replies()] == ["done"]


def test_records_with_others_missing_between_them_are_taken_back_as_fast_as_a_whole_range(make_keyed_box):
    box = large(make_keyed_box, count=10_000)
    box.outbox._file.execute("DELETE FROM history WHERE seq % 2")
    statements, turns = [], 0
    box.outbox._file._db.set_trace_callback(statements.append)
    box.turn(box.resend((1, 10_000), epoch="two"))
    while box.delivery._commands.is_busy:
        assert statements.count("COMMIT") <= PIECES_AT_ONCE
        statements.clear()
        box.turn()
        turns += 1
        assert turns < 100
    assert turns <= 5_000 / (PIECES_AT_ONCE * PIECE_ROWS) + 1
    assert box.outbox.status().unacked == 5_000
    told = [span for reply in box.link.replies() for span in reply.unavailable]
    assert told == [(seq, seq) for seq in range(1, 10_000, 2)]


def test_the_newest_are_taken_back_first(make_keyed_box):
    box = large(make_keyed_box)
    box.turn(box.resend((1, 40_000), epoch="two"))
    while not box.outbox.status().unacked:
        box.turn()
    assert box.outbox.next_unacked(1) > 30_000


def test_a_stream_that_is_left_meanwhile_ends_it(make_keyed_box):
    box = large(make_keyed_box)
    left = box.outbox.stream_id
    box.turn(box.resend((1, 40_000), epoch="two"))
    box.turn(box.ack(conflict="a copy"))
    while box.outbox.is_renumbering:
        box.turn()
    box.turn()
    (reply,) = box.link.replies()
    assert (reply.stream_id, reply.unavailable, box.outbox.store_epoch) == (left, [(1, 40_000)], "one")


def test_a_piece_that_fails_is_no_reason_to_end_and_the_store_is_not_remembered(make_keyed_box, monkeypatch):
    def fail(*_):
        raise OutboxError("the disk does not answer")

    box = large(make_keyed_box)
    with monkeypatch.context() as patch:
        patch.setattr(box.outbox, "resend_slices", fail)
        box.turn(box.resend((1, 40_000), epoch="two"))
    box.turn()
    assert (box.link.replies(), box.outbox.store_epoch) == ([], "one")
    box.turn(box.resend((1, 4), epoch="two"))
    assert (len(box.link.replies()), box.outbox.store_epoch) == (1, "two")


def test_of_a_stream_that_was_left_nothing_is_available(box):
    box.turn(box.resend((1, 4), stream_id="left-long-ago"))
    assert unacked(box) == []
    assert box.link.replies() == [
        m.Reply(command_id="c-1", outcome="done", stream_id="left-long-ago", unavailable=[(1, 4)])
    ]


@pytest.mark.parametrize("key", ["no base64!", base64.b64encode(b"short").decode()])
def test_a_key_that_is_none_is_named_at_the_start(make_box, key):
    with pytest.raises(ValidationError, match="centre_key"):
        make_box(centre_key=key)


def send_again(box, *ranges):
    return m.SendAgain(stream_id=box.outbox.stream_id, ranges=list(ranges))


ORDERS = [m.Predict(engine="E-1"), m.RestartSource(), m.SendAgain(stream_id="s", ranges=[(3, 4)])]


def test_records_that_a_person_wants_go_out_again_and_say_nothing_of_a_store(box):
    box.turn(box.centre(epoch="one"))
    box.turn(box.command(send_again(box, (1, 4))))
    assert box.link.seqs("backfill") == [[3, 4]]
    (reply,) = box.link.replies()
    assert (reply.outcome, reply.unavailable) == ("done", [(1, 2)])
    box.turn(box.command(send_again(box, (3, 4)), command_id="c-2"))
    assert box.link.replies()[1].unavailable == []
    assert box.outbox.store_epoch is None


def test_of_two_that_send_again_the_second_is_refused_and_what_a_store_lacks_goes_first(make_keyed_box):
    box = large(make_keyed_box)
    box.turn(box.command(send_again(box, (1, 40_000))))
    box.turn(box.command(send_again(box, (1, 4)), command_id="c-2"))
    box.turn(box.resend((1, 40_000), epoch="two", command_id="c-3"))
    while box.delivery._commands.is_busy:
        box.turn()
    told = {reply.command_id: (reply.outcome, reply.reason) for reply in box.link.replies()}
    assert told["c-2"] == ("refused", "other records are just being sent again; ask again in a moment")
    assert told["c-1"][0] == "refused"
    assert "all that its store lacks" in told["c-1"][1]
    assert (told["c-3"], box.outbox.store_epoch) == (("done", None), "two")


def test_what_the_sensing_side_is_asked_for_is_done_once_and_answered(box):
    asked = box.command(m.Predict(engine="E-1"))
    box.turn(asked, asked)
    box.turn(box.command(m.RestartSource(), command_id="c-2"))
    assert (box.plant.predicted, box.plant.restarts) == ([("E-1", "c-1")], 1)
    assert [reply.outcome for reply in box.link.replies()] == ["done"] * 3


@pytest.mark.parametrize("trouble", [RowError("engine E-1: no row of it has come"), OutboxError("disk full")])
def test_what_cannot_be_predicted_is_refused_with_the_reason(box, trouble):
    box.plant.trouble = trouble
    box.turn(box.command(m.Predict(engine="E-1")))
    assert box.link.replies() == [m.Reply(command_id="c-1", outcome="refused", reason=str(trouble))]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("late_s", "reason"), [(3600, "it was good until"), (None, "clock has not been set")])
def test_p8_what_comes_too_late_is_refused(box, order, late_s, reason):
    asked = box.command(order)
    box.now_s = 0.0 if late_s is None else box.now_s + late_s
    box.turn(asked)
    (reply,) = box.link.replies()
    assert (reply.outcome, reason in reply.reason) == ("refused", True)
    assert (box.plant.predicted, box.plant.restarts, unacked(box)) == ([], 0, [])


@pytest.mark.parametrize("order", ORDERS)
def test_p8_no_order_of_anybody_else_is_obeyed(box, order):
    box.turn(box.command(order, key=STRANGER), box.command(order, retained=True))
    assert box.link.replies() == []
    box.turn(box.command(order, gateway="gw-2"))
    assert [reply.outcome for reply in box.link.replies()] == ["refused"]
    assert (box.plant.predicted, box.plant.restarts) == ([], 0)
