"""Raw samples that the centre asks for: a real ring, parts that fit the broker, paced behind everything else."""

from datetime import UTC, datetime, timedelta

import pytest

from edge_agent.delivery import FETCH_INTERVAL_S
from edge_agent.fetching import CHUNK_MAX_BYTES
from edge_agent.mqtt import Connected
from edge_agent.outbox import OutboxError
from edge_agent.ring import Ring
from shared import messages as m
from shared.rows import Sample

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def box(make_keyed_box, tmp_path):
    box = make_keyed_box()
    ring = Ring(tmp_path / "samples.db", max_bytes=2**24, disk_reserve_bytes=0, now=lambda: START)
    box.delivery._commands._ring = box.ring = ring
    yield box
    ring.close()


def samples(count, engine="E-1", channels=("T24", "T30")):
    return [
        Sample(engine, START + timedelta(seconds=second), dict.fromkeys(channels, second + 0.125), 7)
        for second in range(count)
    ]


def fetch(since_s=0, until_s=10**6, **changes):
    since, until = (START + timedelta(seconds=at_s) for at_s in (since_s, until_s))
    return m.FetchSamples(**({"engine": "E-1", "since": since, "until": until} | changes))


def answer(box, order, *, packet=2**20, turns=400):
    """All parts of the answer to one command."""
    box.link.published.clear()
    box.turn(Connected(packet), box.command(order, command_id=f"c-{order.since}"))
    for _ in range(turns):
        box.turn(after_s=FETCH_INTERVAL_S)
        if any(reply.samples is None or reply.samples.is_last for reply in box.link.replies()):
            break
    return box.link.replies()


def lines(replies):
    return [line for reply in replies for line in reply.samples.lines]


def test_samples_of_one_engine_and_time_come_with_nulls_where_there_was_nothing(box):
    gap = Sample("E-1", START + timedelta(seconds=99), {"T24": float("nan"), "P30": 4.5}, None)
    box.ring.append([*samples(5), *samples(5, "E-2"), gap])
    [reply] = answer(box, fetch(3, 200))
    chunk = reply.samples
    assert (reply.outcome, chunk.engine, chunk.part, chunk.is_last, chunk.is_cut) == ("done", "E-1", 1, True, False)
    assert chunk.oldest_at == START
    assert chunk.channels == ["P30", "T24", "T30"]
    assert chunk.lines == [
        (START + timedelta(seconds=3), 7, [None, 3.125, 3.125]),
        (START + timedelta(seconds=4), 7, [None, 4.125, 4.125]),
        (START + timedelta(seconds=99), None, [4.5, None, None]),
    ]


@pytest.mark.parametrize("packet", [4096, 2**20])
def test_samples_come_in_numbered_parts_that_fit_the_brokers_packets(box, packet):
    names = [f"channel-{number:02}" for number in range(24)]
    box.ring.append(samples(300, channels=names))
    replies = answer(box, fetch(), packet=packet)
    assert [reply.samples.part for reply in replies] == list(range(1, len(replies) + 1))
    assert [reply.samples.is_last for reply in replies] == [False] * (len(replies) - 1) + [True]
    assert [line[0] for line in lines(replies)] == [sample.observed_at for sample in samples(300)]
    assert max(len(m.encode(reply)) for reply in replies) < min(packet, CHUNK_MAX_BYTES)
    assert len(replies) > 1


def test_no_more_samples_come_than_were_asked_for(box):
    box.ring.append(samples(50))
    replies = answer(box, fetch(limit=20))
    assert len(lines(replies)) == 20
    assert replies[-1].samples.is_cut
    assert not answer(box, fetch(30, limit=20))[-1].samples.is_cut


def test_what_is_not_kept_is_an_empty_answer_that_tells_since_when_there_is_something(box):
    box.ring.append(samples(5, "E-2"))
    [reply] = answer(box, fetch())
    assert (reply.samples.lines, reply.samples.is_last, reply.samples.oldest_at) == ([], True, None)


def test_parts_are_paced(box):
    box.ring.append(samples(500, channels=[f"channel-{number:02}" for number in range(24)]))
    box.turn(Connected(2**20), box.command(fetch()))
    for _ in range(100):
        box.turn()
    assert len(box.link.replies()) <= 1


def test_a_command_that_comes_again_is_not_answered_again(box):
    box.ring.append(samples(5))
    [_] = answer(box, fetch())
    box.turn(box.command(fetch(), command_id=f"c-{START}"), after_s=10)
    box.turn(after_s=10)
    assert len(box.link.replies()) == 1


@pytest.mark.parametrize(
    ("order", "reason"), [(fetch(5, 4), "from a time after"), (fetch(), "the source gives whole cycle rows")]
)
def test_what_cannot_be_fetched_is_refused(box, order, reason):
    if "time" in reason:
        box.ring.append(samples(5))
    [reply] = answer(box, order)
    assert reply.outcome == "refused"
    assert reason in reply.reason


def test_two_answers_at_once_are_one_too_many(box):
    box.ring.append(samples(5))
    box.turn(Connected(2**20))
    box.turn(box.command(fetch()), box.command(fetch(), command_id="c-2"))
    [refused] = [reply for reply in box.link.replies() if reply.outcome == "refused"]
    assert (refused.command_id, refused.reason) == (
        "c-2",
        "other samples are just being fetched; ask again in a moment",
    )


def test_a_ring_that_cannot_be_read_is_told(box, monkeypatch):
    box.ring.append(samples(5))

    def fail(*_):
        raise OutboxError("cannot read the ring")

    monkeypatch.setattr(box.ring, "between", fail)
    [reply] = answer(box, fetch())
    assert (reply.outcome, reply.reason) == ("refused", "cannot read the ring")
    box.turn(after_s=1)
    assert len(box.link.replies()) == 1
