"""Last step of ingest: answers that wait to be published, folded into one ack per stream."""

import time
from collections.abc import Callable

from msgspec import Struct

from aggregator.store.arrivals import Answer, Outcome
from shared.messages import Ack, Deferred, Quarantined, as_ranges
from shared.topics import GatewayTopic

RETRY_AFTER_S = 300.0
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

    def take(self) -> list[tuple[GatewayTopic, Ack]]:
        """Take out one ack for each stream that is due, each with the topic to publish it on."""
        now_s = self._clock_s()
        due = [key for key, pending in self._pending.items() if pending.due_s <= now_s]
        return [(key[0], as_ack(key[1], self._pending.pop(key).answer)) for key in due]

    def due_in_s(self) -> float:
        """Seconds until an ack is due; infinite while there is none."""
        return min((pending.due_s for pending in self._pending.values()), default=float("inf")) - self._clock_s()


def _is_urgent(answer: Answer) -> bool:
    bad_news = answer.quarantined or answer.deferred or answer.conflict
    return bool(bad_news) or len(answer.committed) >= WAITING_RECORDS


def as_ack(stream_id: str, answer: Answer) -> Ack:
    """Spell an answer for the wire."""
    reasons: dict[str, list[int]] = {}
    for seq, reason in answer.deferred.items():
        reasons.setdefault(reason, []).append(seq)
    return Ack(
        stream_id=stream_id,
        committed=as_ranges(answer.committed),
        quarantined=[Quarantined(seq=seq, reason=reason[:1000]) for seq, reason in sorted(answer.quarantined.items())],
        deferred=[
            Deferred(range=seqs, reason=reason, retry_after_s=RETRY_AFTER_S)
            for reason, of_reason in reasons.items()
            for seqs in as_ranges(of_reason)
        ],
        conflict=answer.conflict,
    )
