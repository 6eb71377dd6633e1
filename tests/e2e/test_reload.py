"""SIGHUP: the agent goes on as the same process with the settings as they are then, or with the old ones."""

import signal
import socket
from itertools import islice

import pytest

from simulators.engine_model import SimulatedEngine

ROWS = 60


@pytest.fixture
def _no_nohup():
    """Programs started from here hear SIGHUP, also where the tests themselves do not."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("_no_nohup")
def test_other_settings_are_taken_without_losing_a_row(aggregator, make_agent, wait_until, tmp_path, monkeypatch):
    rows = [(1, cycle, values) for cycle, values, _ in islice(SimulatedEngine("E-1", seed=5).rows(), ROWS)]
    aggregator.register("E-1", "gw-1")
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(tmp_path / "notify"))
    told.settimeout(60)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "3600000000")
    agent = make_agent()

    def told_by_now(word):
        assert told.recv(100) == word

    def arrived(cycles):
        wait_until(lambda: len(aggregator.history("E-1", "predictions")) == cycles, f"{cycles} predictions")

    def hang_up():
        agent.process.send_signal(signal.SIGHUP)

    with told:
        agent.start()
        told_by_now(b"READY=1")
        agent.feed(*rows[:20])
        arrived(20)

        settings = agent.config.read_text()
        agent.config.write_text(settings.replace("heartbeat_interval_s = 1.0", "heartbeat_interval_s = -1"))
        hang_up()
        wait_until(lambda: "settings_refused" in agent.log.read_text(), "the wrong setting is refused")
        assert "delivery.heartbeat_interval_s" in agent.log.read_text()
        agent.feed(*rows[20:30])
        arrived(30)

        other = agent.rows.with_name("other.txt")
        other.touch()
        agent.config.write_text(settings.replace(str(agent.rows), str(other)))
        agent.feed(*rows[30:40])
        arrived(40)
        agent.rows = other
        agent.feed(*rows[40:])
        hang_up()
        told_by_now(b"RELOADING=1")
        told_by_now(b"READY=1")
        arrived(ROWS)
        assert agent.process.poll() is None
        assert sorted(item["cycle"] for item in aggregator.history("E-1", "telemetry")) == list(range(1, ROWS + 1))

        hang_up()
        assert agent.stop() == 0  # also while it starts anew
