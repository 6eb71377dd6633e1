"""Last step of ingest: answers that wait to be published, folded into few acks per stream."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from msgspec import Struct

from aggregator.store.arrivals import Answer, Outcome
from shared import messages
from shared.messages import Ack, Deferred, Quarantined, SeqRange
from shared.ranges import as_ranges
from shared.topics import GatewayTopic

RETRY_AFTER_S = 300.0
# A broker may take packets of 4 KiB at most, the least that agents work with, and throws out who sends a larger one.
ACK_MAX_BYTES = 4096 - 512  # less topic and header
REASON_CHARS = 500  # each takes up to six bytes, so that any reason fits into an ack
LINGER_S = 0.25
# A gateway has few envelopes on their way at once: with so many records unanswered it may be waiting.
WAITING_RECORDS = 4


class _Pending(Struct):
    answer: Answer
    due_s: float


class PendingAcks:
    """Collects answers until they are taken; bounded by what gateways have in flight.

    Commits of a few records, for which nobody waits, are held back for a moment so that more fit into one ack.

    Args:
        clock_s: a clock that never goes back, in seconds.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._pending: dict[tuple[GatewayTopic, str], _Pending] = {}
        self._spelt: deque[tuple[GatewayTopic, Ack]] = deque()

    def add(self, outcome: Outcome) -> None:
        """Collect the answers of a committed batch."""
        now_s = self._clock_s()
        for key, answer in outcome.answers.items():
            pending = self._pending.get(key)
            if pending is None:
                pending = self._pending[key] = _Pending(Answer(), now_s + LINGER_S)
            pending.answer.add(answer)
            if _is_urgent(pending.answer):
                pending.due_s = now_s

    def take(self, at_most: int) -> list[tuple[GatewayTopic, Ack]]:
        """Take out so many of the acks that are due, each with the topic to publish it on."""
        now_s = self._clock_s()
        due = iter([key for key, pending in self._pending.items() if pending.due_s <= now_s])
        while len(self._spelt) < at_most and (key := next(due, None)) is not None:
            self._spelt += [(key[0], ack) for ack in as_acks(key[1], self._pending.pop(key).answer)]
        return [self._spelt.popleft() for _ in range(min(at_most, len(self._spelt)))]

    def due_in_s(self) -> float:
        """Seconds until an ack is due; infinite while there is none."""
        if self._spelt:
            return 0.0
        return min((pending.due_s for pending in self._pending.values()), default=float("inf")) - self._clock_s()


def _is_urgent(answer: Answer) -> bool:
    bad_news = answer.quarantined or answer.deferred or answer.conflict
    return bool(bad_news) or len(answer.committed) >= WAITING_RECORDS


def as_acks(stream_id: str, answer: Answer) -> Iterator[Ack]:
    """Spell an answer for the wire, in as many acks as keep each within ``ACK_MAX_BYTES``."""
    spell = partial(Ack, stream_id=stream_id, conflict=answer.conflict)
    room_bytes = left_bytes = ACK_MAX_BYTES - len(messages.encode(spell()))
    taken: dict[str, Any] = {}
    for field, part, size in _parts(answer):
        if size > left_bytes:
            yield spell(**taken)
            taken, left_bytes = {}, room_bytes
        taken.setdefault(field, []).append(part)
        left_bytes -= size
    yield spell(**taken)


def _parts(answer: Answer) -> Iterator[tuple[str, SeqRange | Quarantined | Deferred, int]]:
    """Whatever there is to say, each with the field of the ack that it goes to and its size there in bytes."""
    for seqs in as_ranges(answer.committed):
        yield "committed", seqs, len(str(seqs))  # Python's space is JSON's comma to the next
    for seq, reason in sorted(answer.quarantined.items()):
        quarantined = Quarantined(seq=seq, reason=reason[:REASON_CHARS])
        yield "quarantined", quarantined, len(messages.encode(quarantined)) + 1
    by_reason: dict[str, list[int]] = {}
    for seq, reason in answer.deferred.items():
        by_reason.setdefault(reason[:REASON_CHARS], []).append(seq)
    for reason, of_reason in by_reason.items():
        for seqs in as_ranges(of_reason):
            deferred = Deferred(range=seqs, reason=reason, retry_after_s=RETRY_AFTER_S)
            yield "deferred", deferred, len(messages.encode(deferred)) + 1
