"""Whatever lies between a real outbox and a real store: what is accepted is in one of them, and counts once."""

import shutil
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from aggregator.ingest.acks import PendingAcks
from aggregator.ingest.intake import arrive
from aggregator.store.commit import commit
from aggregator.store.database import Store
from aggregator.store.registry import Registration, register_engine
from edge_agent.outbox import LAST_SEQ, Outbox
from shared.messages import (
    ModelRef,
    OutboxStatus,
    Prediction,
    RulCycles,
    SourceStatus,
    Status,
    Telemetry,
    Window,
    decode_envelope,
    encode,
    envelope,
)
from shared.topics import GatewayTopic

NOW = datetime(2026, 1, 2, tzinfo=UTC)
RECORDS, STATUS = (str(GatewayTopic("hamburg", "gw-1", kind)) for kind in ("records", "status"))
MODEL = ModelRef(name="turbofan", version="1.0.0", sha256="ab" * 32)
CLONED_CYCLES = 10_000
ENVELOPE_RECORDS = 6
SOME = st.integers(0, 2**16)


def row(cycle):
    return encode(Telemetry(engine="E-1", cycle=cycle, observed_at=NOW, channels={"T24": 640.0 + cycle}))


def prediction(cycle):
    rul = RulCycles(mean=80.0, q05=60.0, q50=80.0, q95=100.0)
    window = Window(first_cycle=cycle, last_cycle=cycle, rows=1)
    return encode(
        Prediction(
            engine="E-1",
            cycle=cycle,
            observed_at=NOW,
            predicted_at=NOW,
            rul_cycles=rul,
            cap_cycles=125.0,
            model=MODEL,
            runtime="none",
            window=window,
            input=b"",
        )
    )


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """A store with its tables and one gateway, to be copied."""
    path = tmp_path_factory.mktemp("empty") / "store.db"
    store = Store(f"sqlite:///{path}")
    store.migrate()
    store.epoch()
    register_engine(store, Registration("E-1", "hamburg", "gw-1", "1"))
    store.close()
    return path


class StoreAndForward(RuleBasedStateMachine):
    """One gateway and the centre; messages between them are lost, late, repeated and reordered.

    The world is a little kinder than it can be: no answer of a store arrives after that store was set back, and no
    store is set back to a time before the stream, or refuses it before it is whole again: an outbox forgets its
    history with the stream that it leaves.
    """

    empty_store: Path

    def __init__(self):
        super().__init__()
        self.folder = TemporaryDirectory()
        self.place = Path(self.folder.name)
        self.bodies = {}
        self.cycles = 0
        self.clock_s = 0.0
        self.envelopes, self.acks = [], []
        self.is_whole = True

    @initialize()
    def begin(self):
        shutil.copy(self.empty_store, self.place / "store.db")
        self.start_centre()
        self.start_agent()

    def start_centre(self):
        self.store = Store(f"sqlite:///{self.place / 'store.db'}")
        self.pending = PendingAcks(clock_s=lambda: self.clock_s)

    def start_agent(self):
        self.outbox = Outbox(self.place / "outbox.db", now=lambda: NOW)
        self.session = self.outbox.begin_session()

    @rule(rows=st.integers(0, 4), first=st.integers(1, 20), fails=st.booleans(), answered=st.booleans())
    def exchange(self, rows, first, fails, answered):
        """Rows are accepted and records sent, from some seq on; the commit may fail, and the answer be lost or late."""
        self.accept(rows)
        self.send(first)
        if fails and self.envelopes:
            self.fail_to_take(self.envelopes[-1:])
        else:
            self.take(self.envelopes[-1:])
        self.send_acks()
        for ack in self.acks[-2:] if answered else ():
            self.settle(ack)

    @precondition(lambda self: self.envelopes)
    @rule(envelopes=st.lists(SOME, max_size=3), acks=st.lists(SOME, max_size=3))
    def old_messages_arrive(self, envelopes, acks):
        """Any that were ever sent, for the first time or again, in any order."""
        self.take([self.envelopes[number % len(self.envelopes)] for number in envelopes])
        for number in acks if self.acks else ():
            self.settle(self.acks[number % len(self.acks)])

    @rule(agent=st.booleans(), centre=st.booleans(), told=st.booleans(), obeyed=st.booleans())
    def restart(self, agent, centre, told, obeyed):
        """A restarted centre has forgotten what it had not answered; a birth, or the command it gives, may be lost."""
        if centre:
            self.store.close()
            self.start_centre()
        if agent:
            self.outbox.close()
            self.start_agent()
        if told:
            self.connect(obeyed=obeyed)

    @rule(rows=st.integers(1, 4), answered=st.booleans())
    def set_the_store_back(self, rows, answered):
        """To a backup, made before something more was taken."""
        self.store.close()
        shutil.copy(self.place / "store.db", self.place / "backup.db")
        self.start_centre()
        stream_id = self.outbox.stream_id
        self.exchange(rows, 1, fails=False, answered=answered)
        if self.outbox.stream_id == stream_id:
            self.store.close()
            shutil.copy(self.place / "backup.db", self.place / "store.db")
            self.acks.clear()
            self.start_centre()
            self.store.renew_epoch()
            self.is_whole = False

    @precondition(lambda self: self.envelopes and self.is_whole)
    @rule(which=SOME)
    def clone_speaks(self, which):
        """Other content under seqs of the present stream that the store has already."""
        taken = self.seqs_taken()
        sent = decode_envelope(self.envelopes[which % len(self.envelopes)])
        forged = [(seq, row(CLONED_CYCLES + seq)) for seq, _ in sent.records if seq in taken]
        if forged and sent.stream_id == self.outbox.stream_id:
            self.take([envelope(sent.stream_id, forged)])
            self.exchange(0, 1, fails=False, answered=True)
            assert self.outbox.stream_id != sent.stream_id

    def accept(self, rows):
        cycles = range(self.cycles + 1, self.cycles + rows + 1)
        self.cycles += rows
        made = [row(cycle) for cycle in cycles], [prediction(cycle) for cycle in cycles]
        self.outbox.accept(*made)
        self.bodies |= dict(zip((("telemetry", cycle) for cycle in cycles), made[0], strict=True))
        self.bodies |= dict(zip((("prediction", cycle) for cycle in cycles), made[1], strict=True))

    def send(self, first):
        waiting = self.outbox.waiting(first, LAST_SEQ, limit=ENVELOPE_RECORDS, at=0.0)
        if waiting:
            self.envelopes.append(envelope(self.outbox.stream_id, [(one.seq, one.body) for one in waiting]))

    def take(self, envelopes):
        arrivals = [arrive(RECORDS, one, datetime.now(UTC)) for one in envelopes]
        self.pending.add(commit(self.store, arrivals))

    def fail_to_take(self, envelopes):
        """Fail late in the transaction, so that something must be rolled back."""
        with self.store.writing() as connection:
            connection.execute(
                text("CREATE TRIGGER fails BEFORE INSERT ON prediction BEGIN SELECT RAISE(ABORT, 'no'); END")
            )
        before = self.stored()
        with suppress(IntegrityError):
            self.take(envelopes)
            before = self.stored()
        assert self.stored() == before
        with self.store.writing() as connection:
            connection.execute(text("DROP TRIGGER fails"))

    def send_acks(self):
        self.clock_s += 1.0
        self.acks += [ack for _, ack in self.pending.take(1000)]

    def settle(self, ack):
        self.outbox.settle(ack, at=0.0)
        if ack.conflict is not None and ack.stream_id == self.outbox.stream_id:
            self.outbox.begin_new_stream()
            while self.outbox.is_renumbering:
                self.accept(1)
                self.outbox.renumber_piece()

    def connect(self, *, obeyed):
        """A birth reaches the centre."""
        knows_store = self.outbox.store_epoch == self.store.epoch()
        status = Status(
            event="birth",
            session=self.session,
            stream_id=self.outbox.stream_id,
            next_seq=self.outbox.next_seq,
            sent_at=NOW,
            heartbeat_interval_s=10.0,
            agent_version="0.1.0",
            engines=["E-1"],
            source=SourceStatus(kind="file", state="reading"),
            outbox=OutboxStatus(),
            store_epoch=self.outbox.store_epoch or "",
            held=[] if knows_store else list(chain(*self.outbox.held_slices())),
        )
        outcome = commit(self.store, [arrive(STATUS, encode(status), datetime.now(UTC))])
        self.pending.add(outcome)
        for _, resend in outcome.orders if obeyed else ():
            assert resend.stream_id == self.outbox.stream_id
            if not any(list(self.outbox.resend_slices(resend.ranges))):
                self.outbox.remember_store_epoch(resend.store_epoch)
            self.is_whole = True

    # What must hold

    def stored(self):
        with self.store.engine.connect() as connection:
            return sorted(
                (table, cycle)
                for table in ("telemetry", "prediction")
                for (cycle,) in connection.execute(text(f"SELECT cycle FROM {table}"))  # our tables
            )

    def seqs_taken(self):
        query = text("SELECT first_seq, last_seq FROM receipt JOIN stream ON stream.id = stream WHERE stream_id = :id")
        with self.store.engine.connect() as connection:
            ranges = connection.execute(query, {"id": self.outbox.stream_id}).all()
        return {seq for first, last in ranges for seq in range(first, last + 1)}

    def held(self, *tables):
        return {body for table in tables for (body,) in self.outbox._file.rows(f"SELECT body FROM {table}")}

    @invariant()
    def nothing_counts_twice(self):
        stored = self.stored()
        assert len(stored) == len(set(stored))
        assert set(stored) <= self.bodies.keys()

    @invariant()
    def only_what_the_store_has_is_freed(self):
        """A store that was set back, and was not told what the gateway holds, may find the rest in its history."""
        kept = self.held("telemetry", "prediction", *(() if self.is_whole else ("history",)))
        freed = {key for key, body in self.bodies.items() if body not in kept}
        assert freed <= set(self.stored())

    def teardown(self):
        """Once nothing fails any more, everything gets there."""
        for _ in range(3):  # at most one conflict, and what it sends again
            self.connect(obeyed=True)
            while self.outbox.waiting(1, LAST_SEQ, limit=1, at=0.0):
                before = self.outbox.stream_id, self.outbox.status().unacked
                self.exchange(0, 1, fails=False, answered=True)
                assert (self.outbox.stream_id, self.outbox.status().unacked) != before
        assert self.stored() == sorted(self.bodies)
        self.outbox.close()
        self.store.close()
        self.folder.cleanup()


def test_what_is_accepted_is_in_the_outbox_or_in_the_store_and_counts_once(empty_store):
    machine = type("Machine", (StoreAndForward,), {"empty_store": empty_store})
    limits = settings(max_examples=12, stateful_step_count=30, deadline=None)
    run_state_machine_as_test(machine, settings=limits)
