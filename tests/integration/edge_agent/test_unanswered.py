"""What the agent does when answers do not come: silence is broken once, a culprit is found and parked (P10)."""

import pytest

from edge_agent.mqtt import Connected, Disconnected
from edge_agent.suspects import PARKED_REST_S
from shared import messages as m
from shared.ranges import as_ranges

POISON = b'"poison"'
KINDS = ("records", "backfill")


class Centre:
    """Answers every envelope but those with poison in them, which break the line if it is told so."""

    def __init__(self, box, *, breaks_the_line=False):
        self.box = box
        self.breaks_the_line = breaks_the_line
        self.sizes_without_answer = []
        self._seen = 0

    def turn(self, *, after_s=1.0):
        """Answer what came since the last turn."""
        events = []
        for sent in self.box.link.published[self._seen :]:
            if not sent.topic.endswith(KINDS):
                continue
            records = m.decode_envelope(sent.payload).records
            if POISON in (bytes(body) for _, body in records):
                self.sizes_without_answer.append(len(records))
                if self.breaks_the_line:
                    events = [Disconnected("packet too large"), Connected()]
                    break
            else:
                events.append(self.box.ack(committed=as_ranges(seq for seq, _ in records)))
        self._seen = len(self.box.link.published)
        self.box.turn(*events, after_s=after_s)


def records(count, poison=()):
    return [POISON if number in poison else b"%d" % number for number in range(1, count + 1)]


def waiting(box):
    return [stored.body for stored in box.outbox.waiting(1, 10**9, limit=1000, at=box.now_s)]


@pytest.mark.parametrize("breaks_the_line", [False, True])
def test_p10_a_culprit_is_found_and_parked_and_all_else_is_delivered(make_box, breaks_the_line):
    box = make_box()
    box.outbox.accept(records(1200, poison=[77, 700, 1190]))
    box.turn(Connected(), box.centre())
    centre = Centre(box, breaks_the_line=breaks_the_line)
    for _ in range(600):
        if len(box.delivery._sender.parked) == 3:
            break
        box.outbox.accept([b"{}"])
        centre.turn()
    assert box.delivery._sender.parked == [77, 700, 1190]
    assert "3 records get no answer" in box.delivery.view().summary
    for _ in range(5):
        centre.turn()
    assert waiting(box) == [POISON] * 3
    box.turn(after_s=16)
    assert box.link.statuses()[-1].outbox.parked == 3


def test_p10_a_parked_record_is_tried_seldom_and_delivered_once_it_is_answered(make_box):
    box = make_box()
    box.outbox.accept(records(3, poison=[2]))
    box.turn(Connected())
    centre = Centre(box)
    for _ in range(200):
        box.outbox.accept([b"{}"])
        centre.turn()
    assert box.delivery._sender.parked == [2]
    tries = len(centre.sizes_without_answer)
    for _ in range(60):
        centre.turn(after_s=1.0)
    assert len(centre.sizes_without_answer) <= tries + 1
    box.turn(after_s=PARKED_REST_S)
    assert box.link.seqs("backfill")[-1] == [2]
    box.turn(box.ack(committed=[(2, 2)]))
    assert box.delivery._sender.parked == []
    assert box.delivery.view().summary == "up"


def test_p10_in_an_outage_nobody_is_blamed(make_box):
    box = make_box()
    box.outbox.accept(records(3000))
    box.turn(Connected(), box.centre())
    for _ in range(300):
        box.outbox.accept([b"{}"])
        box.turn(after_s=2.0)
    assert box.delivery._sender.parked == []
    box.link.published.clear()
    centre = Centre(box)
    for _ in range(40):
        centre.turn(after_s=1.0)
    assert waiting(box) == []
    assert len(box.link.seqs("records") + box.link.seqs("backfill")) < 40


def test_where_nothing_is_answered_one_envelope_is_tried_at_a_time(make_box):
    box = make_box(ack_timeout_s=5)
    box.outbox.accept(records(5000))
    box.turn(Connected(), box.centre())
    box.turn(after_s=6)
    box.link.published.clear()
    for _ in range(10):
        box.turn(after_s=3)
    assert len(box.link.seqs("records") + box.link.seqs("backfill")) == 5


def test_a_silence_is_broken_by_one_new_connection_and_the_next_one_twice_as_late(make_box):
    box = make_box(silence_timeout_s=30)
    box.outbox.accept(records(10))
    box.turn(Connected(), box.centre())
    at_s = []
    for second in range(200):
        box.turn(after_s=1)
        if box.link.given_up:
            at_s.append(second + 1)
            box.link.given_up.clear()
            box.turn(Disconnected("given up"), Connected())
    assert at_s == [30, 90]


def test_silence_is_none_where_nothing_waits_or_the_centre_does_not_accept(make_box):
    box = make_box(silence_timeout_s=30)
    box.turn(Connected(), box.centre())
    box.turn(after_s=100)
    box.outbox.accept(records(1))
    box.turn(box.centre(False), after_s=100)
    box.turn(after_s=100)
    assert box.link.given_up == []
    box.turn(box.centre(True))
    box.turn(after_s=29)
    assert box.link.given_up == []
    box.turn(after_s=1)
    assert len(box.link.given_up) == 1


def test_an_answer_ends_the_silence(make_box):
    box = make_box(silence_timeout_s=30)
    for _ in range(10):
        box.outbox.accept(records(2))
        box.turn(Connected(), box.centre())
        box.turn(after_s=20)
        box.turn(box.ack(committed=[(1, 1)]))
    assert box.link.given_up == []


def test_while_the_centre_does_not_accept_nothing_is_sent_again_and_nobody_is_blamed(make_box):
    box = make_box()
    box.outbox.accept(records(10))
    box.turn(Connected(), box.centre(True))
    sent = len(box.link.published)
    box.turn(box.centre(False))
    for _ in range(9):
        box.turn(after_s=1)
    assert [one.topic.rsplit("/")[-1] for one in box.link.published[sent:]] == []
    box.turn(Disconnected("cable"), Connected())
    assert box.link.seqs("backfill") == []
    box.turn(box.centre(True))
    assert box.link.seqs("records") == [list(range(1, 11))] * 2


def sized(box, kind):
    return [len(sent.payload) for sent in box.link.published if sent.topic.endswith(kind)]


def test_p10_no_message_is_larger_than_the_broker_takes(make_box):
    box = make_box()
    box.outbox.accept([b'"%s"' % (b"x" * 700)] * 60)
    box.turn(Connected(max_packet_bytes=6000))
    centre = Centre(box)
    for _ in range(30):
        centre.turn()
    assert waiting(box) == []
    assert all(4000 < size < 6000 for size in sized(box, "records")[:2])
    assert max(sized(box, "records") + sized(box, "backfill")) < 6000
    assert box.delivery._sender.parked == []


def test_p10_a_record_that_the_broker_does_not_take_is_kept_and_delivered_once_it_does(make_box):
    box = make_box()
    large = b'"%s"' % (b"x" * 7000)
    box.outbox.accept([b"1", large, b"3"])
    box.turn(Connected(max_packet_bytes=6000))
    centre = Centre(box)
    for _ in range(70):
        centre.turn()
    assert (waiting(box), box.delivery._sender.parked) == ([large], [2])
    assert box.link.statuses()[-1].outbox.parked == 1
    assert "too large" in box.delivery.view().summary
    assert max(sized(box, "records") + sized(box, "backfill")) < 6000
    box.turn(Disconnected("the broker gets another limit"), Connected(max_packet_bytes=8000))
    centre.turn(after_s=PARKED_REST_S)
    centre.turn()
    assert (waiting(box), box.delivery._sender.parked) == ([], [])


def test_a_list_of_what_is_held_is_as_precise_as_the_broker_has_room_for(make_box):
    box = make_box()
    box.outbox.accept([b"%d" % number for number in range(2000)])
    box.outbox.remember_store_epoch("old")
    box.outbox.settle(m.Ack(stream_id=box.outbox.stream_id, committed=[(seq, seq) for seq in range(1, 2000, 2)]), at=0)
    box.outbox._file.execute("DELETE FROM history")
    box.turn(Connected(max_packet_bytes=6000), box.centre(epoch="new"))
    held = box.link.statuses()[-1].held
    assert (held[0][0], held[-1][1]) == (2, 2000)
    assert len(held) > 100
    assert max(sized(box, "status")) < 6000
