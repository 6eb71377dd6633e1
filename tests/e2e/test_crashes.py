"""kill -9 of any of the three programs while rows keep coming: every row once, in every table that counts it."""

import threading
from itertools import chain, islice, repeat

import pytest

from simulators.engine_model import SimulatedEngine

PAUSE_S = 0.1


def life():
    """Rows without end, so that they last on a slow machine: one life after another in the same engine."""
    lives = chain.from_iterable(repeat([values for _, values, _ in SimulatedEngine("E-1", seed=7).rows()]))
    return ((1, cycle, values) for cycle, values in enumerate(lives, start=1))


class Feeder(threading.Thread):
    """The engine: goes on writing rows whatever happens to the rest, until it is told that it is enough."""

    def __init__(self, agent):
        super().__init__()
        self.agent = agent
        self.enough = threading.Event()
        self.written = 0

    def run(self):
        for row in life():
            self.agent.feed(row)
            self.written += 1
            if self.enough.wait(PAUSE_S):
                return


@pytest.fixture
def feeder(aggregator, make_agent):
    """Rows that go on into a running agent."""
    aggregator.register("E-1", "gw-1")
    agent = make_agent()
    agent.start()
    feeder = Feeder(agent)
    feeder.start()
    yield feeder
    feeder.enough.set()
    feeder.join()


@pytest.fixture
def feeding(feeder, aggregator, wait_until):
    """An agent at work in the middle of a stream of rows."""
    wait_until(lambda: feeder.written >= 10 and aggregator.history("E-1", "predictions"), "predictions arrive")
    return feeder.agent


@pytest.fixture
def grows(feeder, wait_until):
    """Waits until a count has gone up from a number, which is what there was at the latest."""

    def wait(count, beyond, what):
        assert feeder.is_alive(), "the engine gives no more rows, so a crash would hit nothing"
        wait_until(lambda: count() > beyond, what)

    return wait


@pytest.fixture
def durable(feeding):
    """How many records the agent has made durable so far; the agent need not run."""
    return lambda: feeding.status()["next_seq"]


@pytest.fixture
def committed(aggregator):
    """How many predictions the centre has."""
    return lambda: len(aggregator.history("E-1", "predictions"))


@pytest.fixture
def everything_arrives_once(feeder, aggregator, wait_until, offline):
    """Holds that each row is there once, and each prediction as if nothing had happened."""

    def hold(agent):
        feeder.enough.set()
        feeder.join()
        rows = list(islice(life(), feeder.written))
        for kind in ("telemetry", "predictions"):
            wait_until(lambda kind=kind: len(aggregator.history("E-1", kind)) >= len(rows), f"{len(rows)} {kind}")
            assert sorted(item["cycle"] for item in aggregator.history("E-1", kind)) == [row[1] for row in rows]
        expected = {cycle: rul for (_, cycle), (rul, _) in offline(rows).items()}
        for item in aggregator.history("E-1", "predictions"):
            assert {name: item["rul"][name] for name in expected[item["cycle"]]} == expected[item["cycle"]]
        assert aggregator.pages("/quarantine") == []
        wait_until(lambda: agent.status()["outbox"]["unacked"] == 0, "the outbox is drained")
        assert agent.status()["refused_rows"] == 0

    return hold


def test_p1_a_killed_agent_loses_nothing(feeding, durable, grows, everything_arrives_once):
    for _ in range(3):
        feeding.kill()
        at_death = durable()
        feeding.start()
        grows(durable, at_death, "the agent works on after the crash")
    everything_arrives_once(feeding)


def test_p1_a_killed_broker_that_kept_nothing_loses_nothing(
    feeding, mosquitto, durable, committed, grows, everything_arrives_once
):
    for _ in range(2):
        mosquitto.kill()
        grows(durable, durable(), "the agent works on without a broker")
        missed = committed()
        mosquitto.start()
        grows(committed, missed, "records flow again")
    everything_arrives_once(feeding)


def test_p1_a_killed_aggregator_loses_nothing(feeding, aggregator, durable, committed, grows, everything_arrives_once):
    for _ in range(2):
        before = committed()
        aggregator.kill()
        grows(durable, durable(), "the agent works on without a centre")
        aggregator.start()
        grows(committed, before, "records flow again")
    everything_arrives_once(feeding)


def test_p1_all_three_killed_at_once_lose_nothing(
    feeding, aggregator, mosquitto, durable, grows, everything_arrives_once
):
    feeding.kill()
    aggregator.kill()
    mosquitto.kill()
    at_death = durable()
    mosquitto.start()
    feeding.start()
    grows(durable, at_death, "the agent works on after the crash")
    aggregator.start()
    everything_arrives_once(feeding)


def test_p2_an_outbox_set_back_to_an_old_copy_swallows_nothing_new(aggregator, make_agent, wait_until):
    aggregator.register("E-1", "gw-1")
    agent = make_agent()
    rows = [(1, cycle, values) for cycle, values, _ in islice(SimulatedEngine("E-1", seed=7).rows(), 60)]
    agent.feed(*rows[:20])
    agent.start()
    wait_until(lambda: len(aggregator.history("E-1", "predictions")) == 20, "20 predictions")
    agent.stop()
    copy = {path: path.read_bytes() for path in agent.outbox.parent.iterdir()}
    agent.feed(*rows[20:40])
    agent.start()
    wait_until(lambda: len(aggregator.history("E-1", "predictions")) == 40, "40 predictions")
    agent.stop()

    for path in agent.outbox.parent.iterdir():
        path.unlink()
    for path, content in copy.items():
        path.write_bytes(content)
    agent.rows.write_text("")
    agent.feed(*rows[:20], *rows[40:])
    agent.start()
    wait_until(lambda: len(aggregator.history("E-1", "predictions")) == 60, "60 predictions")
    assert sorted(item["cycle"] for item in aggregator.history("E-1", "telemetry")) == list(range(1, 61))
    assert "stream_conflict" in agent.log.read_text()
