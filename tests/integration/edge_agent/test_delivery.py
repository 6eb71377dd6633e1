"""Delivery over a real outbox, with the broker and the centre played by the test."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from edge_agent import delivery as delivery_module
from edge_agent import sender
from edge_agent.delivery import subscriptions
from edge_agent.mqtt import Connected, Disconnected, Received
from edge_agent.outbox import OutboxError
from edge_agent.sender import LIVE_TAIL_RECORDS
from edge_agent.settings import AgentSettings
from shared import messages as m
from shared.ranges import as_ranges

NOW = datetime(2026, 1, 2, tzinfo=UTC)
OWN = "spoolwatch/v1/hamburg/gw-1"


def test_nothing_is_sent_before_the_link_is_up(make_box):
    box = make_box()
    box.outbox.accept([b"{}"])
    box.delivery.send_waiting()
    assert box.link.published == []


def test_on_connecting_the_birth_goes_first_and_the_newest_records_before_the_backlog(make_box):
    box = make_box()
    box.outbox.accept([b"{}"] * (LIVE_TAIL_RECORDS + 30))
    box.turn(Connected())
    assert [sent.topic.split("/")[-1] for sent in box.link.published] == ["status", "records", "backfill"]
    assert box.link.events_told() == ["birth"]
    assert box.link.seqs("records") == [list(range(31, 81))]
    assert box.link.seqs("backfill") == [list(range(1, 31))]


def test_a_new_record_goes_out_as_soon_as_it_is_accepted(make_box):
    box = make_box()
    box.turn(Connected())
    box.outbox.accept([b"{}", b"{}"])
    box.delivery.send_waiting()
    assert box.link.seqs("records") == [[1, 2]]


def test_committed_records_leave_the_outbox_in_any_order_of_answers(make_box):
    box = make_box()
    box.outbox.accept([b"{}"] * 6)
    box.turn(Connected(), box.ack(committed=[(4, 6)]), box.ack(committed=[(1, 2)]))
    assert [stored.seq for stored in box.outbox.waiting(1, 99, limit=9, at=0)] == [3]


def test_an_answer_for_another_stream_changes_nothing(make_box):
    box = make_box()
    box.outbox.accept([b"{}"])
    box.turn(Connected(), box.ack(stream_id="other", committed=[(1, 1)]))
    assert box.outbox.status().unacked == 1


def test_an_answer_of_another_version_changes_nothing(make_box):
    box = make_box()
    box.outbox.accept([b"{}"])
    box.turn(Connected(), box.ack(v=2, committed=[(1, 1)]))
    assert box.outbox.status().unacked == 1


def test_the_window_bounds_what_is_unanswered_and_a_quarter_of_it_is_kept_for_the_backlog(make_box):
    box = make_box(in_flight_envelopes=8)
    box.outbox.accept([b"{}"] * 5000)
    box.turn(Connected())
    assert len(box.link.envelopes("records")) == 1
    assert len(box.link.envelopes("backfill")) == 2
    for _ in range(10):
        box.outbox.accept([b"{}"])
        box.turn()
    assert len(box.link.envelopes("records")) == 6
    assert len(box.link.envelopes("backfill")) == 2


def test_a_steady_flow_of_live_records_does_not_starve_the_backlog(make_box):
    box = make_box()
    box.outbox.accept([b"{}"] * 10_000)
    box.turn(Connected())
    for _ in range(60):
        unanswered = [seq for kind in ("records", "backfill") for seqs in box.link.seqs(kind) for seq in seqs]
        box.link.published.clear()
        for _ in range(6):
            box.outbox.accept([b"{}"])
            box.turn()
        box.turn(box.ack(committed=as_ranges(unanswered)))
    assert box.outbox.waiting(1, 10_000, limit=1, at=box.now_s) == []


def test_each_answer_lets_the_backlog_go_on_until_it_is_drained(make_box):
    box = make_box(in_flight_envelopes=2)
    box.outbox.accept([b"{}"] * 2300)
    box.turn(Connected())
    for _ in range(20):
        if not box.outbox.status().unacked:
            break
        sent = [seq for kind in ("records", "backfill") for seqs in box.link.seqs(kind) for seq in seqs]
        box.turn(box.ack(committed=as_ranges(sent)))
    assert box.outbox.status().unacked == 0
    assert sorted(seq for kind in ("records", "backfill") for s in box.link.seqs(kind) for seq in s) == list(
        range(1, 2301)
    )


def test_an_envelope_stays_under_its_size_limit(make_box):
    box = make_box()
    box.outbox.accept([b'"' + b"x" * 50_000 + b'"'] * 12)
    box.turn(Connected())
    sizes = [len(sent.payload) for sent in box.link.published if "status" not in sent.topic]
    assert len(sizes) > 2
    assert max(sizes) <= m.ENVELOPE_MAX_BYTES


def test_an_overdue_answer_makes_the_records_go_again(make_box):
    box = make_box(ack_timeout_s=5)
    box.outbox.accept([b"{}"] * 3)
    box.turn(Connected())
    box.turn(after_s=6)
    assert box.link.seqs("records") == [[1, 2, 3]]
    assert box.link.seqs("backfill") == [[1, 2, 3]]


def test_after_a_lost_connection_everything_unanswered_goes_again(make_box):
    box = make_box()
    box.outbox.accept([b"{}"] * 3)
    box.turn(Connected(), Disconnected("cable"), Connected())
    assert box.link.seqs("records")[-1] == [1, 2, 3]


def test_while_the_centre_does_not_accept_nothing_goes_out_and_then_all_of_it(make_box):
    box = make_box()
    box.turn(Connected(), box.centre(False))
    box.outbox.accept([b"{}"])
    box.delivery.send_waiting()
    assert box.link.seqs("records") == []
    box.turn(box.centre(True))
    assert box.link.seqs("records") == [[1]]


def test_one_accepting_replica_is_enough(make_box):
    box = make_box()
    box.outbox.accept([b"{}"])
    box.turn(box.centre(False, "a"), box.centre(True, "b"), Connected())
    assert box.link.seqs("records") == [[1]]


def test_a_stream_conflict_opens_a_new_stream_with_all_that_is_unacked(make_box):
    box = make_box()
    box.outbox.accept([b"1", b"2", b"3"])
    before = box.outbox.stream_id
    box.turn(Connected())
    box.turn(box.ack(committed=[(1, 1)]), box.ack(conflict="seq 2 came with other content"))
    last = box.link.envelopes("records")[-1]
    assert last.stream_id == box.outbox.stream_id != before
    assert [(seq, bytes(body)) for seq, body in last.records] == [(1, b"2"), (2, b"3")]
    assert box.link.events_told() == ["birth", "birth"]


def test_a_new_stream_that_could_not_be_begun_at_once_has_its_birth_before_its_records(make_box, monkeypatch):
    box = make_box()
    box.outbox.accept([b"{}"])
    box.turn(Connected())
    with monkeypatch.context() as failing:
        failing.setattr("edge_agent.outbox.renumbering.go_on", raise_outbox_error)
        box.turn(box.ack(conflict="seq 1 came with other content"))
    box.link.published.clear()
    box.turn()
    assert [sent.topic for sent in box.link.published] == [f"{OWN}/status", f"{OWN}/records"]
    assert box.link.statuses()[0].stream_id == box.link.envelopes("records")[0].stream_id == box.outbox.stream_id


def test_a_renumbering_of_much_lets_rows_in_between_its_pieces_and_nothing_out_before_its_end(make_box):
    box = make_box()
    box.outbox.accept([b"{}"] * 3000)
    box.turn(Connected())
    left = box.outbox.stream_id
    box.link.published.clear()
    box.turn(box.ack(conflict="seq 1 came with other content"))
    turns = 0
    while box.outbox.is_renumbering:
        turns += 1
        box.outbox.accept([b"%d" % turns])
        assert box.outbox.is_renumbering
        late = box.ack(conflict="again", stream_id=left), box.ack(stream_id=left, committed=[(1, 3000)])
        box.turn(*late, after_s=5)
    assert turns > 3
    told = box.link.statuses()
    assert {status.event for status in told if status.stream_id == left} == {"heartbeat"}
    assert [status.event for status in told if status.stream_id == box.outbox.stream_id] == ["birth"]
    sent = [*box.link.envelopes("records"), *box.link.envelopes("backfill")]
    assert {envelope.stream_id for envelope in sent} == {box.outbox.stream_id}
    newest, body = box.link.envelopes("records")[-1].records[-1]
    assert (newest, bytes(body)) == (3000 + turns, b"%d" % turns)


def test_a_renumbering_that_takes_long_is_no_silence_of_the_centre(make_box, monkeypatch):
    monkeypatch.setattr("edge_agent.outbox.renumbering.PIECE_ROWS", 5)
    box = make_box()
    box.outbox.accept([b"{}"] * 100)
    box.turn(Connected(), box.centre())
    assert box.link.envelopes("records")
    box.turn(box.ack(conflict="seq 1 came with other content"))
    for _ in range(5):
        box.turn(after_s=box.settings.delivery.silence_timeout_s)
    assert box.outbox.is_renumbering
    assert box.link.given_up == []


async def test_work_that_waits_for_the_line_or_the_disk_keeps_no_core_busy(make_keyed_box, monkeypatch):
    """Neither a command half obeyed nor a renumbering that fails makes the loop spin."""
    box = make_keyed_box()
    box.outbox.accept([b"{}"] * 10_000)
    box.outbox.settle(m.Ack(stream_id=box.outbox.stream_id, committed=[(1, 10_000)]), at=0.0)
    box.turn(Connected(), box.centre(), box.resend((1, 10_000)))
    box.turn(Disconnected("gone"))
    turns = await turns_of_the_loop(box, monkeypatch)
    assert turns < 5
    box.turn(Connected())
    monkeypatch.setattr("edge_agent.outbox.renumbering.go_on", raise_outbox_error)
    box.turn(box.ack(conflict="seq 1 came with other content"))
    assert await turns_of_the_loop(box, monkeypatch) < 5


async def turns_of_the_loop(box, monkeypatch):
    """In a fifth of a second, with events that come at no time."""
    turns = []
    monkeypatch.setattr(box.delivery, "_progress", lambda: turns.append(1))
    with suppress(TimeoutError):
        async with asyncio.timeout(0.2):
            await box.delivery.run()
    return len(turns)


def test_deferred_records_go_again_once_their_time_has_come(make_box):
    box = make_box()
    box.outbox.accept([b"{}"] * 2)
    deferred = m.Deferred(range=(1, 2), reason="busy", retry_after_s=30)
    box.turn(Connected())
    box.turn(box.ack(deferred=[deferred]))
    box.turn()
    assert box.link.seqs("backfill") == []
    box.turn(after_s=30)
    assert box.link.seqs("backfill") == [[1, 2]]


def test_a_quarantined_record_becomes_a_dead_letter_and_is_not_sent_again(make_box):
    box = make_box()
    box.outbox.accept([b"{}"] * 2)
    box.turn(Connected(), box.ack(quarantined=[m.Quarantined(seq=1, reason="unknown engine")]))
    status = box.outbox.status()
    assert (status.unacked, status.dead_letters, status.dropped) == (1, 1, 0)


def test_the_will_of_a_lost_connection_is_answered_by_a_birth(make_box):
    box = make_box()
    will = Received(f"{OWN}/status", m.encode(box.status("will")), True)
    box.turn(Connected(), will)
    assert box.link.events_told() == ["birth", "birth"]


def test_what_cannot_be_read_is_logged_and_changes_nothing(make_box):
    box = make_box()
    box.outbox.accept([b"{}"])
    box.turn(Connected(), Received(f"{OWN}/ack", b"\xff", False))
    assert box.outbox.status().unacked == 1


def test_a_status_tells_what_the_line_has_carried(make_box):
    box = make_box()
    box.turn(Connected())
    assert box.link.statuses()[0].traffic == m.Traffic(sent_bytes=700, received_bytes=50)


def test_heartbeats_are_sent_at_their_interval(make_box):
    box = make_box(heartbeat_interval_s=15)
    box.turn(Connected())
    box.turn(after_s=16)
    assert box.link.events_told() == ["birth", "heartbeat"]


async def test_a_stop_on_purpose_is_told_when_there_is_a_link(make_box):
    box = make_box()
    await box.delivery.say_goodbye()
    assert box.link.events_told() == []
    box.turn(Connected())
    await box.delivery.say_goodbye()
    assert box.link.events_told() == ["birth", "stopped"]


def test_an_agent_listens_to_its_own_topics_and_the_state_of_the_centre(tmp_path):
    settings = AgentSettings(
        site="hamburg", gateway="gw-1", engines=[{"serial": "E-1"}], source={"kind": "file", "path": "rows.txt"}
    )
    assert subscriptions(settings) == [
        *(f"{OWN}/{kind}" for kind in ("ack", "status", "command", "engine-desired")),
        "spoolwatch/v1/centre/+/status",
    ]


async def test_the_loop_takes_what_happens_and_says_that_it_lives(make_box):
    box = make_box()
    box.outbox.accept([b"{}"])
    for event in (Connected(), box.ack(committed=[(1, 1)])):
        box.link.events.put_nowait(event)
    loop = asyncio.create_task(box.delivery.run())
    async with asyncio.timeout(30):
        while box.outbox.status().unacked:
            await asyncio.sleep(0.001)
    loop.cancel()
    assert await asyncio.gather(loop, return_exceptions=True)
    assert box.link.events_told() == ["birth"]


async def test_a_command_of_many_pieces_waits_for_no_tick(make_keyed_box, monkeypatch):
    monkeypatch.setattr("edge_agent.delivery.TICK_S", 3600)
    box = make_keyed_box()
    box.outbox.accept([b"{}"] * 200)
    for event in (Connected(), box.centre(), box.resend(*((seq, seq) for seq in range(1, 100, 2)))):
        box.link.events.put_nowait(event)
    loop = asyncio.create_task(box.delivery.run())
    async with asyncio.timeout(60):
        while not box.link.replies():
            await asyncio.sleep(0.001)
    loop.cancel()
    assert await asyncio.gather(loop, return_exceptions=True)


def test_a_disk_that_fails_stops_no_delivery(make_box, monkeypatch):
    box = make_box()
    box.outbox.accept([b"{}"])
    with monkeypatch.context() as failing:
        failing.setattr(box.outbox, "waiting", raise_outbox_error)
        box.turn(Connected())
    assert box.link.seqs("records") == []
    box.turn()
    assert box.link.seqs("records") == [[1]]


def raise_outbox_error(*_, **__):
    raise OutboxError("the disk does not answer")


def test_p4_a_birth_that_cannot_be_told_ends_nothing_and_is_told_before_any_record(make_box, monkeypatch):
    box = make_box()
    box.outbox.accept([b"{}"])
    with monkeypatch.context() as failing:
        failing.setattr(box.outbox, "status", raise_outbox_error)
        box.turn(Connected(), box.centre())
        box.delivery.send_waiting()
        assert box.link.published == []
    box.turn()
    assert [sent.topic.split("/")[-1] for sent in box.link.published] == ["status", "records"]


async def test_p4_a_heartbeat_or_a_farewell_that_cannot_be_told_ends_nothing(make_box, monkeypatch):
    box = make_box()
    box.turn(Connected())
    with monkeypatch.context() as failing:
        failing.setattr(box.outbox, "status", raise_outbox_error)
        box.turn(after_s=60)
        await box.delivery.say_goodbye()
    box.turn(after_s=60)
    assert box.link.events_told() == ["birth", "heartbeat"]


def test_a_stream_that_the_outbox_begins_by_itself_is_sent_from_its_start(make_box):
    box = make_box()
    box.outbox.accept([b"1", b"2", b"3"])
    box.turn(Connected(), box.ack(committed=[(1, 3)]))
    box.outbox.begin_new_stream()
    box.outbox.accept([b"4"])
    box.turn()
    assert box.link.seqs("records")[-1] == [1]


def test_what_the_centre_sees_and_people_read_of_the_link(make_box):
    box = make_box()
    assert box.delivery.view().summary == "down: not connected yet"
    box.turn(Connected())
    assert box.delivery.view().summary == "up"
    box.turn(box.centre(False))
    assert "accepts no records" in box.delivery.view().summary
    box.turn(Disconnected("cable"))
    assert box.delivery.view().summary == "down: cable"


@pytest.mark.parametrize("message", [{"retained": True}, {"retained": False, "accepting": False}])
def test_what_the_centre_may_have_said_long_ago_tells_nothing_of_the_clock(make_box, message):
    box = make_box()
    box.turn(Connected(), box.centre(sent_at=NOW - timedelta(hours=1), **message))
    assert box.delivery.view().clock_skew_s is None


def test_the_clock_is_compared_with_the_centres_when_it_says_its_time_and_followed_when_it_is_set(make_box):
    box = make_box()
    box.turn(Connected(), box.centre(sent_at=NOW + timedelta(hours=1), retained=False))
    assert box.delivery.view().clock_skew_s == -3600
    box.turn(after_s=100)
    assert box.delivery.view().clock_skew_s == -3600
    box.now_s += 3599
    assert box.delivery.view().clock_skew_s == -1


def test_the_loop_looks_up_at_least_once_a_second():
    assert delivery_module.TICK_S < 1


def test_a_mass_of_deferred_records_is_gone_over_a_part_at_a_time(make_box, monkeypatch):
    monkeypatch.setattr(sender, "LOOK_SEQS", 1000)
    box = make_box()
    box.outbox.accept([b"{}"] * 5000)
    box.outbox.settle(
        m.Ack(stream_id=box.outbox.stream_id, deferred=[m.Deferred(range=(1, 4000), reason="busy", retry_after_s=600)]),
        at=box.now_s,
    )
    box.outbox.settle(m.Ack(stream_id=box.outbox.stream_id, committed=[(1500, 3500), (4001, 4990)]), at=box.now_s)
    looks = []
    waiting = box.outbox.waiting

    def counted(first, last, **how):
        looks.append((first, last))
        return waiting(first, last, **how)

    monkeypatch.setattr(box.outbox, "waiting", counted)
    box.turn(Connected(), box.ack(committed=[(4991, 5000)]))
    for _ in range(5):
        box.turn()
    assert all(last - first < 1000 for first, last in looks)
    assert {(1, 1000), (1001, 2000), (3501, 4500)} <= set(looks)
    assert box.link.seqs("backfill") == []
    box.turn(after_s=601)
    for _ in range(5):
        box.turn(*(box.ack(committed=as_ranges(seqs)) for seqs in box.link.seqs("backfill")))
    assert waiting(1, 5000, limit=1, at=box.now_s) == []
