"""Whatever the line and the centre do, every accepted record is settled exactly once (P1, P2), by property."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.mqtt import Connected, Disconnected, Received
from shared import messages as m
from shared.ranges import as_ranges

OWN = "spoolwatch/v1/hamburg/gw-1"
WINDOW = 4


class FakeCentre:
    """Commits envelopes by the rules of the contract and stores what a record is about once."""

    def __init__(self, poison, quarantined):
        self.poison = poison
        self.quarantined = quarantined
        self.ledger = {}
        self.taken = set()
        self.refused_streams = set()
        self.defers = False

    def take(self, payload):
        """The ack for an envelope, or None."""
        envelope = m.decode_envelope(payload)
        stream, records = envelope.stream_id, [(seq, bytes(body)) for seq, body in envelope.records]
        if any(body in self.poison for _, body in records):
            return None
        if stream in self.refused_streams:
            return m.Ack(stream_id=stream, conflict="it was told so")
        if self.defers:
            held_back = [m.Deferred(range=(seq, seq), reason="busy", retry_after_s=3) for seq, _ in records]
            return m.Ack(stream_id=stream, deferred=held_back)
        for seq, body in records:
            assert self.ledger.setdefault((stream, seq), body) == body, "a seq came with other content"
            self.taken.add(body)
        return m.Ack(
            stream_id=stream,
            committed=as_ranges(seq for seq, body in records if body not in self.quarantined),
            quarantined=[m.Quarantined(seq=seq, reason="bad") for seq, body in records if body in self.quarantined],
        )


class World:
    """One agent, one centre and a line between them that loses, repeats and reorders."""

    def __init__(self, box, centre):
        self.box, self.centre = box, centre
        self.up, self.down = [], []
        self.accepted = 0
        self.connected = False
        self._read = 0

    def step(self, action, argument):
        getattr(self, action)(argument)
        self.collect()
        in_flight = self.box.delivery._sender._in_flight
        assert len(in_flight) <= WINDOW
        if self.connected and self.box.delivery._centre.accepts:
            is_sent = self.box.delivery._sender._live_next == self.box.outbox.next_seq
            assert is_sent or not in_flight.has_room(live=True), "a live record waits although there is room"

    def collect(self):
        published = self.box.link.published
        self.up += [one.payload for one in published[self._read :] if one.topic.endswith(("records", "backfill"))]
        self._read = len(published)

    def accept(self, count):
        self.box.outbox.accept([b"%d" % (self.accepted + number) for number in range(count)])
        self.accepted += count
        self.box.turn()

    def arrive(self, which):
        if self.up:
            self._hear(self.up.pop(which % len(self.up)))

    def arrive_and_stay(self, which):
        if self.up:
            self._hear(self.up[which % len(self.up)])

    def lose_envelope(self, which):
        if self.up:
            self.up.pop(which % len(self.up))

    def answer(self, which):
        if self.down and self.connected:
            self.box.turn(self.down.pop(which % len(self.down)))

    def answer_and_stay(self, which):
        if self.down and self.connected:
            self.box.turn(self.down[which % len(self.down)])

    def lose_answer(self, which):
        if self.down:
            self.down.pop(which % len(self.down))

    def connect(self, _):
        if not self.connected:
            self.connected = True
            self.box.turn(Connected())

    def disconnect(self, _):
        if self.connected:
            self.connected = False
            self.box.turn(Disconnected("cable"))

    def refuse_all(self, _):
        if self.connected:
            self.box.turn(self.box.centre(False))

    def accept_all(self, _):
        if self.connected:
            self.box.turn(self.box.centre(True))

    def defer(self, flag):
        self.centre.defers = bool(flag % 2)

    def refuse_stream(self, _):
        if len(self.centre.refused_streams) < 3:
            self.centre.refused_streams.add(self.box.outbox.stream_id)

    def restart(self, _):
        self.connected = False
        self.box.start()
        self._read = 0

    def wait(self, seconds):
        self.box.turn(after_s=seconds)

    def settle_down(self):
        """From now on nothing goes wrong; new records keep coming."""
        self.centre.defers = False
        self.step("connect", 0)
        self.step("accept_all", 0)
        self.up.clear()
        for _ in range(400):
            while self.up:
                self.step("arrive", 0)
            while self.down:
                self.step("answer", 0)
            if self.waiting() <= self.centre.poison:
                return
            self.step("accept", 1)
            self.step("wait", 2)
        raise AssertionError("the outbox is not drained")

    def waiting(self):
        return {stored.body for stored in self.box.outbox.waiting(1, 2**62, limit=10_000, at=self.box.now_s + 3600)}

    def _hear(self, payload):
        ack = self.centre.take(payload)
        if ack is not None:
            self.down.append(Received(f"{OWN}/ack", m.encode(ack), False))


actions = st.one_of(
    st.tuples(st.just("accept"), st.integers(1, 80)),
    st.tuples(st.just("wait"), st.integers(0, 12)),
    st.tuples(st.sampled_from(["arrive", "answer", "connect"]), st.integers(0, 5)),
    st.tuples(st.sampled_from(sorted(name for name in vars(World) if name[0] != "_" and name not in (
        "step", "collect", "settle_down", "waiting", "accept", "wait"))), st.integers(0, 5)),
)  # fmt: skip
bodies = st.sets(st.integers(0, 120), max_size=2).map(lambda numbers: {b"%d" % number for number in numbers})


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(actions, max_size=60), poison=bodies, quarantined=bodies)
def test_p1_p2_every_accepted_record_is_settled_exactly_once(box_type, steps, poison, quarantined):
    with tempfile.TemporaryDirectory() as folder:
        box = box_type(Path(folder), in_flight_envelopes=WINDOW)
        world = World(box, FakeCentre(poison, quarantined - poison))
        for action, argument in [("connect", 0), *steps]:
            world.step(action, argument)
        world.settle_down()
        accepted = {b"%d" % number for number in range(world.accepted)}
        assert world.centre.taken == accepted - poison
        assert world.waiting() <= poison
        assert box.outbox.status().dead_letters == len((quarantined - poison) & accepted)
        box.outbox.close()
