"""Commands reach a real outbox only if the centre's key has signed them."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_agent.commands import REPLIES_KEPT, without
from edge_agent.mqtt import Connected, Received
from shared import messages as m

OWN = "spoolwatch/v1/hamburg/gw-1"
CENTRE = Ed25519PrivateKey.from_private_bytes(bytes(32))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = base64.b64encode(CENTRE.public_key().public_bytes_raw()).decode()


@pytest.fixture
def box(make_box):
    """Six records, all of them committed at the centre, the first two no longer held."""
    box = make_box(centre_key=KEY)
    box.outbox.accept([b"1", b"2", b"3", b"4", b"5", b"6"])
    box.turn(Connected(), box.ack(committed=[(3, 6)], quarantined=[m.Quarantined(seq=s, reason="bad") for s in (1, 2)]))
    box.link.published.clear()
    return box


def command(box, *, key=CENTRE, retained=False, v=1, ranges=((1, 4),), stream_id=None, **changes):
    now = datetime.fromtimestamp(box.now_s, UTC)
    fields = {
        "command_id": "c-1",
        "site": "hamburg",
        "gateway": "gw-1",
        "issued_at": now,
        "expires_at": now + timedelta(minutes=5),
        "order": m.Resend(stream_id=stream_id or box.outbox.stream_id, ranges=list(ranges)),
    }
    body = m.encode(m.Command(**(fields | changes)))
    payload = m.encode(m.SignedCommand(v=v, command=body, signature=key.sign(body)))
    return Received(f"{OWN}/command", payload, retained, (1, 1))


def unacked(box):
    return [stored.body for stored in box.outbox.waiting(1, 99, limit=99, at=box.now_s)]


def test_records_asked_for_go_out_again_as_backfill_and_what_is_gone_is_named(box):
    box.turn(command(box))
    assert box.link.seqs("backfill") == [[3, 4]]
    assert box.link.replies() == [
        m.Reply(command_id="c-1", outcome="done", stream_id=box.outbox.stream_id, unavailable=[(1, 2)])
    ]


def test_a_command_that_comes_twice_is_obeyed_once_and_answered_twice(box):
    box.turn(command(box))
    box.turn(box.ack(committed=[(3, 4)]))
    box.turn(command(box))
    assert unacked(box) == []
    assert len(box.link.replies()) == 2


def test_the_memory_for_commands_is_bounded(box):
    for number in range(REPLIES_KEPT + 2):
        box.delivery._commands.obey(command(box, command_id=f"c-{number}", ranges=[]).payload, retained=False)
    assert len(box.delivery._commands._replies) == REPLIES_KEPT


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"gateway": "gw-2"}, "meant for gateway gw-2 at hamburg"),
        ({"site": "bremen"}, "meant for gateway gw-1 at bremen"),
        ({"expires_at": datetime(2026, 1, 1, tzinfo=UTC)}, "expired at 2026-01-01"),
    ],
)
def test_p8_a_command_for_another_or_too_late_is_refused_with_its_reason(box, changes, reason):
    box.turn(command(box, **changes))
    assert unacked(box) == []
    (reply,) = box.link.replies()
    assert reply.outcome == "refused"
    assert reason in reply.reason


@pytest.mark.parametrize("changes", [{"key": STRANGER}, {"retained": True}, {"v": 2}])
def test_p8_what_the_centre_did_not_sign_now_is_neither_obeyed_nor_answered(box, changes, capsys):
    box.turn(command(box, **changes))
    assert unacked(box) == []
    assert box.link.replies() == []
    assert "message_not_used" in capsys.readouterr().out


def test_p8_without_a_key_no_command_is_obeyed(make_box, tmp_path, capsys):
    box = make_box()
    box.outbox.accept([b"1"])
    box.turn(Connected(), box.ack(committed=[(1, 1)]))
    box.turn(command(box, ranges=[(1, 1)]))
    assert unacked(box) == []
    assert box.link.replies() == []
    assert "centre_key" in capsys.readouterr().out


def test_what_is_no_command_at_all_changes_nothing(box):
    box.turn(Received(f"{OWN}/command", b"{", False, (1, 1)))
    assert box.link.published == []


def test_a_clock_that_was_never_set_does_not_keep_the_centre_from_being_made_whole(box):
    asked = command(box)
    box.now_s = 0.0
    box.turn(asked)
    assert box.link.replies()[0].outcome == "done"


def test_of_a_stream_that_was_left_nothing_is_available(box):
    box.turn(command(box, stream_id="left-long-ago", ranges=[(1, 4)]))
    assert unacked(box) == []
    assert box.link.replies() == [
        m.Reply(command_id="c-1", outcome="done", stream_id="left-long-ago", unavailable=[(1, 4)])
    ]


@pytest.mark.parametrize("key", ["no base64!", base64.b64encode(b"short").decode()])
def test_a_key_that_is_none_is_named_at_the_start(make_box, key):
    with pytest.raises(ValidationError, match="centre_key"):
        make_box(centre_key=key)


spans = st.sets(st.integers(1, 60)).map(m.as_ranges)


@given(spans, spans)
def test_what_is_unavailable_is_what_was_asked_for_and_is_not_held(asked, held):
    expected = {seq for seq in range(61) if m.in_ranges(seq, asked) and not m.in_ranges(seq, held)}
    assert {seq for first, last in without(asked, held) for seq in range(first, last + 1)} == expected
