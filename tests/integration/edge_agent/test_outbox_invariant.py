"""Whatever happens, every accepted record is in exactly one place that says what became of it."""

import shutil
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge_agent.outbox import Outbox, OutboxError, StoredState
from edge_agent.settings import OutboxSettings
from shared.messages import Ack, Deferred, Quarantined, decode_record
from shared.ranges import as_ranges

LAST = 2**62
BODY_BYTES = 4000
LIMITS = OutboxSettings(max_bytes=2**20, history_max_bytes=60 * BODY_BYTES, history_days=1)
NOW = datetime(2026, 1, 2, tzinfo=UTC)


class OutboxMachine(RuleBasedStateMachine):
    """Every seq of the stream is unacked, acked, quarantined, or in exactly one gap range, told or still to be told."""

    def __init__(self):
        super().__init__()
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name) / "0" / "outbox.db"
        self.path.parent.mkdir()
        self.clock_s = 0.0
        self.made = {}
        self.acked, self.quarantined = set(), set()
        self.settled_gaps = []
        self.sent = {}
        self.cursor = None
        self.count = 0
        self.open()

    def open(self):
        self.outbox = Outbox(self.path, settings=LIMITS, now=lambda: NOW, monotonic_s=lambda: self.clock_s)

    def table(self, name, columns="seq, body"):
        return self.outbox._file.rows(f"SELECT {columns} FROM {name}")  # our tables

    def unacked(self):
        """Telemetry, predictions and gaps, read beside the outbox's own methods."""
        return dict(self.table("telemetry") + self.table("prediction") + self.table("gap"))

    def drawn_range(self, data):
        first = data.draw(st.integers(1, max(1, self.outbox.next_seq)))
        return first, first + data.draw(st.integers(0, 80))

    def settle(self, **answer):
        before = self.unacked()
        self.outbox.settle(Ack(stream_id=self.outbox.stream_id, **answer), at=0.0)
        gone = before.keys() - self.unacked().keys()
        self.settled_gaps += [decode_record(before[seq]) for seq in gone if before[seq].startswith(b'{"kind":"gap"')]
        return gone

    @rule(telemetry=st.integers(0, 40), predictions=st.integers(0, 40))
    def a_step(self, telemetry, predictions):
        self.accept(telemetry, predictions)

    def accept(self, telemetry, predictions):
        first, total = self.outbox.next_seq, telemetry + predictions
        new = [f"{self.count + index} ".encode().ljust(BODY_BYTES, b".") for index in range(total)]
        self.count += total
        self.cursor = str(self.count)
        self.outbox.accept(new[:telemetry], new[telemetry:], cursor=self.cursor)
        self.made |= dict(enumerate(new, start=first))
        return new

    @rule(steps=st.integers(1, 8))
    def outage(self, steps):
        """Rows go on coming until something must be given up."""
        for _ in range(steps):
            self.accept(25, 25)

    @rule(limit=st.integers(1, 500))
    def send(self, limit):
        """What was handed out once keeps its bytes under its seq for ever: the centre takes its digest."""
        for stored in self.outbox.waiting(1, LAST, limit=limit, at=1e9):
            assert self.sent.setdefault(stored.seq, stored.body) == stored.body

    @rule(data=st.data())
    def ack(self, data):
        span = self.drawn_range(data)
        gone = self.settle(committed=[span])
        assert gone <= set(range(span[0], span[1] + 1))
        self.acked |= gone

    @rule(data=st.data())
    def ack_everything_sent(self, data):
        self.acked |= self.settle(committed=as_ranges(self.sent))

    @precondition(lambda self: self.unacked())
    @rule(data=st.data())
    def quarantine(self, data):
        seq = data.draw(st.sampled_from(sorted(self.unacked())))
        gone = self.settle(quarantined=[Quarantined(seq=seq, reason="bad")])
        assert gone == {seq}
        self.quarantined.add(seq)

    @rule(data=st.data(), wait_s=st.floats(0, 1e9))
    def defer(self, data, wait_s):
        span = self.drawn_range(data)
        assert not self.settle(deferred=[Deferred(range=span, reason="busy", retry_after_s=wait_s)])

    @rule(data=st.data())
    def resend(self, data):
        span = self.drawn_range(data)
        before = self.unacked().keys()
        gone = list(chain(*self.outbox.resend_slices([span])))
        back = self.unacked().keys() - before
        assert {seq for seq in range(span[0], span[1] + 1) if seq not in self.unacked()} == {
            seq for first, last in gone for seq in range(first, last + 1)
        }
        assert back <= self.acked
        self.acked -= back
        again = {decode_record(self.unacked()[seq]).gap_id for seq in back if seq not in self.made}
        self.settled_gaps = [gap for gap in self.settled_gaps if gap.gap_id not in again]

    @rule(hours=st.integers(1, 30))
    def time_passes(self, hours):
        self.clock_s += hours * 3600.0

    @rule(between=st.lists(st.sampled_from(["step", "piece", "restart", "kill_and_restart"]), max_size=6))
    def conflict(self, between):
        """Rows come, and the agent is killed, while what is unacked gets new numbers."""
        unacked, dropped = self.unacked(), set(self.seqs_dropped(settled=False))
        kept = [seq for seq in sorted(unacked.keys() | dropped) if seq in self.made]
        bodies = [unacked.get(seq, self.made[seq]) for seq in kept]
        begun = self.outbox.begin_new_stream()
        for action in between:
            match action:
                case "step":
                    bodies += self.accept(3, 2)
                case "piece":
                    self.outbox.renumber_piece()
                case _:
                    getattr(self, action)()
        while self.outbox.is_renumbering:
            self.outbox.renumber_piece()
        assert self.outbox.stream_id == begun
        self.made = dict(enumerate(bodies, start=1))
        self.acked, self.quarantined, self.settled_gaps, self.sent = set(), set(), [], {}
        assert self.outbox.next_seq == len(bodies) + 1
        dropped = {new for new, seq in enumerate(kept, 1) if seq not in unacked}
        assert dropped <= set(self.seqs_dropped()) <= set(range(1, len(bodies) + 1))

    @rule()
    def restart(self):
        self.outbox.close()
        self.clock_s = 0.0
        self.open()

    @rule()
    def kill_and_restart(self):
        """What a killed process leaves: the files as they are, never closed."""
        folder = self.path.parent.with_name(str(int(self.path.parent.name) + 1))
        shutil.copytree(self.path.parent, folder)
        self.outbox.close()
        self.path = folder / self.path.name
        self.clock_s = 0.0
        self.open()

    @rule()
    def a_step_that_cannot_be_stored(self):
        with pytest.raises(OutboxError):
            self.outbox.accept([b"never"], cursor="never", states={"E": StoredState("m", object())})

    def seqs_dropped(self, *, settled=True):
        held = [decode_record(body).ranges for _, body in self.table("gap")]
        told = [gap.ranges for gap in self.settled_gaps] if settled else []
        ranges = [self.table("dropped_range", "first, last"), *held, *told]
        return [seq for spans in ranges for first, last in spans for seq in range(first, last + 1)]

    @invariant()
    def every_seq_is_in_one_place(self):
        unacked, dropped = self.unacked(), self.seqs_dropped()
        places = [*unacked, *self.acked, *self.quarantined, *dropped]
        assert sorted(places) == list(range(1, self.outbox.next_seq))
        assert {seq: body for seq, body in unacked.items() if seq in self.made}.items() <= self.made.items()

    @invariant()
    def held_is_unacked_or_acked(self):
        held = {seq for first, last in chain(*self.outbox.held_slices()) for seq in range(first, last + 1)}
        assert self.unacked().keys() <= held <= self.unacked().keys() | self.acked

    @invariant()
    def counters_tell_what_is_there(self):
        status = self.outbox.status()
        assert status.unacked == len(self.unacked())
        assert status.history_bytes == sum(len(body) for _, body in self.table("history"))
        assert self.outbox.cursor == self.cursor

    @invariant()
    def the_size_is_bounded(self):
        file = self.outbox._file
        assert file.used_pages() * file.page_bytes <= LIMITS.max_bytes

    def teardown(self):
        self.outbox.close()
        self.folder.cleanup()


TestOutboxMachine = OutboxMachine.TestCase
TestOutboxMachine.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
