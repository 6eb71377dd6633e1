"""A real agent in trouble with its box: a clock that jumps, a file damaged while it was off, a full disk."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

from simulators.engine_model import SimulatedEngine

ROWS = 60
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


@pytest.fixture
def rows():
    return [(1, cycle, values) for cycle, values, _ in islice(SimulatedEngine("E-1", seed=5).rows(), ROWS)]


@pytest.fixture
def everything_arrives(aggregator, wait_until):
    def hold(agent):
        for kind in ("telemetry", "predictions"):
            wait_until(lambda kind=kind: len(aggregator.history("E-1", kind)) >= ROWS, f"{ROWS} {kind}")
            cycles = [item["cycle"] for item in aggregator.history("E-1", kind)]
            assert sorted(cycles) == list(range(1, ROWS + 1))
        wait_until(lambda: agent.status()["outbox"]["unacked"] == 0, "the outbox is drained")
        assert aggregator.pages("/quarantine") == []

    return hold


def test_a_clock_that_starts_in_1970_and_jumps_loses_nothing(
    aggregator, make_agent, wait_until, rows, everything_arrives, tmp_path, monkeypatch
):
    assert FAKETIME, "libfaketime is missing: install Debian's package libfaketime"
    clock = tmp_path / "clock"
    clock.write_text("@1970-01-01 00:00:10")
    aggregator.register("E-1", "gw-1")
    agent = make_agent()
    # The model is tried first, in a child process: libfaketime would not end the sleep of who waits for it.
    agent.start()
    wait_until(lambda: agent.status()["running"], "the agent runs")
    agent.stop()
    with monkeypatch.context() as environment:
        environment.setenv("LD_PRELOAD", str(FAKETIME))
        environment.setenv("FAKETIME_TIMESTAMP_FILE", str(clock))
        environment.setenv("FAKETIME_NO_CACHE", "1")
        environment.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        agent.start()
    for moment, part in (("", rows[:20]), ("@2026-11-21 00:00:00", rows[20:40]), ("@2019-05-05 00:00:00", rows[40:])):
        if moment:
            clock.write_text(moment)
        agent.feed(*part)
        last = part[-1][1]
        wait_until(
            lambda last=last: any(item["cycle"] == last for item in aggregator.history("E-1", "telemetry")),
            f"cycle {last} is there",
        )
    everything_arrives(agent)
    unsynced = {item["cycle"] for item in aggregator.history("E-1", "telemetry") if item["clock_unsynced"]}
    assert {1, 2, 3} <= unsynced
    assert not unsynced & set(range(25, 40))


def test_a_file_damaged_while_the_box_was_off_stops_nobody(
    aggregator, make_agent, wait_until, rows, everything_arrives
):
    aggregator.register("E-1", "gw-1")
    agent = make_agent()
    agent.start()
    wait_until(lambda: agent.status()["running"], "the agent runs")
    agent.stop()
    agent.outbox.write_bytes(b"noise" * 10_000)
    agent.feed(*rows)
    agent.start()
    everything_arrives(agent)
    assert "set aside" in agent.status()["outbox"]["damage"]
    report = json.loads(
        subprocess.run(
            [Path(sys.executable).parent / "spoolwatch-agent", "status", "--config", agent.config, "--json"],
            check=True,
            capture_output=True,
        ).stdout
    )
    assert "set aside" in report["last"]["status"]["outbox"]["damage"]


@pytest.mark.parametrize("state", [b"noise", "text", b""])
def test_a_feature_state_damaged_while_the_box_was_off_stops_nobody(
    aggregator, make_agent, wait_until, rows, everything_arrives, state
):
    aggregator.register("E-1", "gw-1")
    agent = make_agent()
    agent.start()
    agent.feed(*rows[:30])
    wait_until(lambda: len(aggregator.history("E-1", "telemetry")) >= 30, "the first rows are there")
    agent.stop()
    with closing(sqlite3.connect(agent.outbox)) as outbox, outbox:
        assert outbox.execute("UPDATE engine_state SET state = ?", (state,)).rowcount == 1
    agent.feed(*rows[30:])
    agent.start()
    everything_arrives(agent)
    assert "stored state of E-1 damaged" in agent.status()["last"]["status"]["source"]["last_error"]


def test_an_agent_on_a_full_disk_lives_and_goes_on_when_there_is_room_again(
    aggregator, make_agent, wait_until, rows, everything_arrives, tmp_path
):
    assert os.geteuid() == 0, "this test mounts a small tmpfs and so must run as root"
    aggregator.register("E-1", "gw-1")
    agent = make_agent()
    state = agent.folder / "state"
    state.mkdir()
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", state], check=True)
    try:
        agent.start()
        agent.feed(*rows[:20])
        wait_until(lambda: len(aggregator.history("E-1", "telemetry")) >= 20, "the first rows are there")
        hog = state / "hog"
        subprocess.run(["/bin/dd", "if=/dev/zero", f"of={hog}", "bs=4k"], check=False, capture_output=True)
        agent.feed(*rows[20:])
        wait_until(lambda: len(aggregator.history("E-1", "telemetry")) >= ROWS, "rows go on on a full disk")
        assert agent.process.poll() is None
        agent.process.send_signal(signal.SIGKILL)
        agent.process.wait()
        agent.start()
        wait_until(lambda: agent.status()["running"], "the agent starts on a full disk")
        hog.unlink()
        everything_arrives(agent)
        assert agent.stop() == 0
    finally:
        if agent.process.poll() is None:
            agent.kill()
        subprocess.run(["/bin/umount", "-l", state], check=True)
