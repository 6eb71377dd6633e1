"""Whatever is lost on the way, a store that was set back gets all that the gateway still holds (P1), by property.

It also learns what the gateway no longer holds.
"""

import tempfile
from itertools import chain, count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.inventory import REPEAT_MAX_S
from edge_agent.mqtt import Connected, Disconnected
from shared import messages as m
from shared.ranges import as_ranges


def seqs_in(ranges):
    return {seq for first, last in ranges for seq in range(first, last + 1)}


class World:
    """One agent, a store that is set back again and again, and a line that loses messages and keeps their order."""

    def __init__(self, box):
        self.box = box
        self.store, self.gone, self.epochs, self.command_ids = set(), set(), 1, count()
        self.up, self.down = [], []
        self._read = 0
        self.connect()

    @property
    def epoch(self):
        return f"epoch {self.epochs}"

    def turn(self, *events, after_s=0.0):
        self.box.turn(*events, after_s=after_s)
        self.up += self.box.link.published[self._read :]
        self._read = len(self.box.link.published)

    def accept(self, number):
        self.box.outbox.accept([b"1"] * number)
        self.turn()

    def connect(self):
        self.up, self.down = [], []
        self.turn(Disconnected("cable"), Connected())
        self.down.append(self.box.centre(epoch=self.epoch))

    def restart(self):
        self.box.start()
        self._read = 0
        self.connect()

    def forget(self, every):
        """Some of what was acknowledged has grown too old."""
        self.box.outbox._file.execute("DELETE FROM history WHERE seq % ?1 = 0", (every,))

    def set_back(self, lost):
        self.store = set(sorted(self.store)[: max(0, len(self.store) - lost)])
        self.gone.clear()
        self.epochs += 1
        self.up = []
        self.down.append(self.box.centre(epoch=self.epoch))

    def hear(self, number=1):
        for _ in range(min(number, len(self.up))):
            message = self.up.pop(0)
            kind = message.topic.rsplit("/", 1)[1]
            if kind == "status":
                self._compare(m.decode(message.payload, m.Status))
            elif kind == "reply":
                self._miss(seqs_in(m.decode(message.payload, m.Reply).unavailable))
            else:
                seqs = [seq for seq, _ in m.decode_envelope(message.payload).records]
                self.store |= set(seqs)
                self.down.append(self.box.ack(committed=as_ranges(seqs)))

    def answer(self, number=1):
        for _ in range(min(number, len(self.down))):
            self.turn(self.down.pop(0))

    def lose_up(self, number):
        del self.up[:number]

    def lose_down(self, number):
        del self.down[:number]

    def wait(self, seconds):
        self.turn(after_s=seconds)

    def settle_down(self):
        """From now on nothing is lost."""
        self.down.append(self.box.centre(epoch=self.epoch))
        for _ in range(8):
            while self.up or self.down:
                self.hear()
                self.answer()
            self.turn(after_s=REPEAT_MAX_S / 2)

    def _compare(self, status):
        if status.store_epoch not in (None, self.epoch):
            held = seqs_in(status.held)
            self._miss({*range(1, status.next_seq)} - held)
            lacking, command_id = as_ranges(held - self.store - self.gone), f"c-{next(self.command_ids)}"
            self.down.append(self.box.resend(*lacking, epoch=self.epoch, command_id=command_id))

    def _miss(self, seqs):
        self.gone |= seqs - self.store


STEPS = ("accept", "hear", "answer", "lose_up", "lose_down", "wait", "set_back", "forget")
steps = st.one_of(
    st.tuples(st.sampled_from(STEPS), st.integers(1, 9)),
    st.tuples(st.sampled_from(["accept", "hear", "answer"]), st.integers(1, 9)),
    st.tuples(st.sampled_from(["connect", "restart"])),
)


@pytest.fixture
def short_lists(monkeypatch):
    """What is held is told in so few ranges that they take in what is not."""
    monkeypatch.setattr("edge_agent.inventory.RANGES_MAX", 2)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(steps, min_size=30, max_size=80))
def test_p1_a_store_that_was_set_back_is_made_whole_whatever_was_lost_on_the_way(box_type, short_lists, steps):
    with tempfile.TemporaryDirectory() as folder:
        world = World(box_type(Path(folder), centre_key=box_type.KEY))
        for action, *argument in steps:
            getattr(world, action)(*argument)
        world.settle_down()
        assert world.store | world.gone == set(range(1, world.box.outbox.next_seq))
        assert not seqs_in(chain(*world.box.outbox.held_slices())) - world.store
        assert world.box.outbox.store_epoch == world.epoch
        world.box.outbox.close()
