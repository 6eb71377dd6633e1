"""Chooses what goes to the centre next: the newest records at once, the backlog behind them in large envelopes.

Two cursors run over the outbox, one for live records and one for the backlog behind it. What fails to be answered sets
the backlog's cursor back; what is answered has left the outbox, so going over it again costs nothing.
"""

import sys
from collections.abc import Callable, Iterable

import structlog

from edge_agent.budget import Budget
from edge_agent.in_flight import InFlight, Sent
from edge_agent.outbox import LAST_SEQ, Outbox, Stored
from edge_agent.seldom import Seldom
from edge_agent.settings import DeliverySettings
from edge_agent.suspects import Suspects
from shared.messages import ENVELOPE_MAX_BYTES, ENVELOPE_MAX_RECORDS, Ack, envelope

LIVE_TAIL_RECORDS = 50
RESCAN_S = 60.0
# Of a million deferred records, so many are looked at in one turn of the loop.
LOOK_SEQS = 50_000
_ENVELOPE_FRAME_BYTES = 256
_SEQ_BYTES = 24

Publish = Callable[[bytes], None]

log = structlog.get_logger(__name__)


class Sender:
    """Sends what waits in the outbox, as far as the window of unanswered envelopes allows.

    Args:
        outbox: what to send.
        settings: window and timeouts.
        live: publishes an envelope of the newest records.
        backfill: publishes an envelope of older ones.
        now_s: the wall clock, Unix time in seconds; it may jump.
        monotonic_s: a clock that only goes forward, in seconds.
        budget: what may still go today.
    """

    def __init__(
        self,
        outbox: Outbox,
        settings: DeliverySettings,
        *,
        live: Publish,
        backfill: Publish,
        now_s: Callable[[], float],
        monotonic_s: Callable[[], float],
        budget: Budget,
    ) -> None:
        self._outbox = outbox
        self._budget = budget
        self._ack_timeout_s = settings.ack_timeout_s
        self._live = live
        self._backfill = backfill
        self._now_s = now_s
        self._monotonic_s = monotonic_s
        self._in_flight = InFlight(settings.in_flight_envelopes)
        self._suspects = Suspects(settings.ack_timeout_s)
        self._broker_takes_bytes = sys.maxsize
        self._too_large = Seldom(monotonic_s)
        self._stream_id = outbox.stream_id
        self._live_next = 1
        self._backlog_next = 1
        self._rescan_at_s = 0.0

    @property
    def is_waiting(self) -> bool:
        """Whether something is on its way and not answered."""
        return len(self._in_flight) > 0

    @property
    def parked(self) -> list[int]:
        """Seqs of records that alone get no answer or are too large for the broker; they are tried seldom."""
        return self._suspects.parked

    def fit(self, broker_takes_bytes: int) -> None:
        """Send no envelope that is larger than the broker of this connection takes."""
        self._broker_takes_bytes = broker_takes_bytes

    def send(self) -> None:
        """Send what may be sent now."""
        if self._outbox.stream_id != self._stream_id:
            self.start_new_stream()
        self._live_next = self._run(self._live, self._live_next, LAST_SEQ, live=True)
        self._send_lone()
        self._backlog_next = self._run(self._backfill, self._backlog_next, self._live_next - 1, live=False)

    def answered(self, ack: Ack) -> None:
        """Take note of an answer about the present stream."""
        ranges = [
            *ack.committed,
            *((entry.seq, entry.seq) for entry in ack.quarantined),
            *(entry.range for entry in ack.deferred),
        ]
        self._in_flight.answered(ranges)
        self._suspects.answered(ranges)
        for deferred in ack.deferred:
            self._rescan_at_s = min(self._rescan_at_s, self._monotonic_s() + deferred.retry_after_s)

    def look_back(self) -> None:
        """Send overdue records again, and now and then look for those whose deferral is over."""
        now_s = self._monotonic_s()
        self._fail(self._in_flight.take_overdue(sent_before_s=now_s - self._ack_timeout_s))
        if now_s >= self._rescan_at_s:
            self.rescan()

    def rescan(self) -> None:
        """Go over everything that waits in the outbox once more."""
        self._backlog_next = 1
        self._rescan_at_s = self._monotonic_s() + RESCAN_S

    def connection_lost(self) -> None:
        """What was on its way failed with the connection."""
        self._fail(self._in_flight.take_all())

    def start_over(self) -> None:
        """Forget what was on its way: the newest records go first, everything unanswered follows."""
        self._live_next = max(1, self._outbox.next_seq - LIVE_TAIL_RECORDS)
        self._in_flight.take_all()
        self.rescan()

    def start_new_stream(self) -> None:
        """The outbox has numbered anew what waits."""
        self._stream_id = self._outbox.stream_id
        self._suspects.forget()
        self.start_over()

    def _run(self, publish: Publish, first: int, last: int, *, live: bool) -> int:
        """Send records from ``first`` to ``last`` while there is room; returns the first seq not looked at."""
        while first <= last and self._in_flight.has_room(live=live) and self._budget.lets_go(live=live):
            until = min(last, first + LOOK_SEQS - 1)
            waiting = self._outbox.waiting(
                first,
                until,
                limit=ENVELOPE_MAX_RECORDS,
                at=self._now_s(),
                telemetry=self._budget.waits == "nothing",
            )
            if not waiting:
                unacked = self._outbox.next_unacked(until + 1)
                return min(last + 1, self._outbox.next_seq) if unacked is None else min(last + 1, unacked)
            chosen = self._fitting(waiting)
            if chosen:
                self._publish(publish, chosen, live=live)
            first = (chosen or waiting)[-1].seq + 1
        return first

    def _send_lone(self) -> None:
        """Send a record that must travel alone, one at a time."""
        if not self._in_flight.has_room(live=False) or self._budget.waits != "nothing":
            return
        seq = self._suspects.next_lone(self._monotonic_s())
        if seq is None or any(lone in self._in_flight for lone in self._suspects.lone):
            return
        found = self._outbox.waiting(seq, seq, limit=1, at=self._now_s())
        if not found:
            self._suspects.clear([seq])
        elif chosen := self._fitting(found, lone=True):
            self._publish(self._backfill, chosen, live=False)

    def _publish(self, publish: Publish, records: list[Stored], *, live: bool) -> None:
        publish(envelope(self._stream_id, [(record.seq, record.body) for record in records]))
        self._in_flight.add([record.seq for record in records], live=live, now_s=self._monotonic_s())

    def _fitting(self, records: Iterable[Stored], *, lone: bool = False) -> list[Stored]:
        """From the front, as many of the records not on their way as one envelope may carry.

        At least one, unless the broker takes none of them, not even alone: those are parked. Records that must
        travel alone are chosen only if that is asked for.
        """
        chosen: list[Stored] = []
        size = 0
        most = ENVELOPE_MAX_RECORDS
        room = min(ENVELOPE_MAX_BYTES, self._broker_takes_bytes, self._budget.room_bytes()) - _ENVELOPE_FRAME_BYTES
        for record in records:
            if record.seq in self._in_flight or (record.seq in self._suspects.lone and not lone):
                continue
            record_bytes = len(record.body) + _SEQ_BYTES
            if record_bytes + _ENVELOPE_FRAME_BYTES > self._broker_takes_bytes:
                self._park(record)
                continue
            size += record_bytes
            most = min(most, self._suspects.share(record.seq))
            if chosen and (size > room or len(chosen) >= most):
                break
            chosen.append(record)
        return chosen

    def _park(self, record: Stored) -> None:
        """Keep a record that the broker would throw us out for: its limit may be raised, or the broker replaced."""
        self._suspects.park(record.seq, self._monotonic_s())
        reason = f"the broker takes messages of {self._broker_takes_bytes} bytes at most; raise its limit"
        if self._too_large.due(reason):
            log.error("record_too_large", seq=record.seq, size_bytes=len(record.body), reason=reason)

    def _fail(self, failed: list[Sent]) -> None:
        alone = len(failed) == 1 and not self._in_flight
        for sent in failed:
            self._backlog_next = min(self._backlog_next, *sent.seqs)
            for seq in self._suspects.failed(
                sent, answers=self._in_flight.answers, alone=alone, now_s=self._monotonic_s()
            ):
                log.error(
                    "record_parked", seq=seq, reason="the centre answers others and not this one; it is tried seldom"
                )
