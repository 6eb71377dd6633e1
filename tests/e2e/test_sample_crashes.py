"""kill -9 of the agent in the middle of cycles, while samples keep coming from a broker that waits for it."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice

import paho.mqtt.client as paho
import pytest

from edge_agent.outbox import Outbox
from shared.bundle import find_bundle, read_bundle
from shared.cycles import CycleRule, EngineCycles, Place
from shared.messages import Telemetry, decode_record
from shared.reduce import channel_rules
from shared.rows import Sample

START = datetime(2026, 1, 2, tzinfo=UTC)
CYCLES, SECONDS, CRASHES = 12, 40, 5


def samples():
    """Cycles of forty samples, of which some are bad."""
    for number in range(CYCLES * SECONDS):
        cycle, second = divmod(number, SECONDS)
        channels = {"T24": 640.0 + second * 0.01 + cycle, "T30": 1580.0 + (second * 7 % 11)}
        if second == 20:
            channels["T24"] += 50.0
        yield Sample("E-1", START + timedelta(seconds=number), channels, cycle + 1)


def expected():
    rules = channel_rules(read_bundle(find_bundle("turbofan")).manifest)
    cycles = EngineCycles("E-1", CycleRule(), rules, Place())
    return [row for number, sample in enumerate(samples(), start=1) for row in cycles.take(number, sample)]


@pytest.fixture
def hardware(mosquitto):
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(1000)
    client.connect(mosquitto.host, mosquitto.port)
    client.loop_start()
    yield client
    client.disconnect()
    client.loop_stop()


def give(hardware, sample):
    told = {
        "engine": sample.engine,
        "observed_at": sample.observed_at.isoformat(),
        "cycle": sample.cycle,
        "channels": sample.channels,
    }
    hardware.publish("rig/samples", json.dumps(told), qos=1).wait_for_publish(60)


def test_p1_no_sample_is_lost_and_no_row_comes_twice_whenever_the_agent_is_killed(
    hardware, mosquitto, tmp_path, make_program, wait_until
):
    state = tmp_path / "state"
    config = tmp_path / "agent.toml"
    config.write_text(
        f"""
site = "hamburg"
gateway = "gw-1"
data_dir = "{state}"
engines = [{{ serial = "E-1" }}]
source = {{ kind = "mqtt", topic = "rig/samples", gives = "samples", port = {mosquitto.port} }}
broker = {{ port = {mosquitto.port} }}
"""
    )
    agent = make_program(("spoolwatch-agent", "run", "--config", config), tmp_path / "agent.log")

    def kept():
        try:
            with closing(sqlite3.connect(f"file:{state}/samples.db?mode=ro", uri=True)) as ring:
                return ring.execute("SELECT count(*) FROM sample").fetchone()[0]
        except sqlite3.OperationalError:  # not made yet
            return 0

    coming = samples()
    first = next(coming)

    def heard():
        give(hardware, first)  # a repeat is none
        return kept()

    agent.start()
    wait_until(heard, f"samples reach the agent, see {agent.log}")
    for _ in range(CRASHES):
        for sample in islice(coming, 75):
            give(hardware, sample)
        agent.kill()
        for sample in islice(coming, 13):
            give(hardware, sample)
        agent.start()
    for sample in coming:
        give(hardware, sample)
    rows = expected()

    def records():
        with closing(Outbox(state / "outbox.db", read_only=True)) as outbox:
            stored = [decode_record(one.body) for one in outbox.waiting(1, 10**6, limit=10**6, at=0.0)]
        return [record for record in stored if isinstance(record, Telemetry)]

    wait_until(lambda: len(records()) >= len(rows), f"all rows are there, see {agent.log}")
    assert agent.stop() == 0
    assert [(one.cycle, one.channels["T24"], one.channels["T30"]) for one in records()] == [
        (row.cycle, row.channels["T24"], row.channels["T30"]) for row in rows
    ]
    assert {tuple(one.flags["T24"]) for one in records()} == {("spike",)}
    with closing(Outbox(state / "outbox.db")) as outbox:
        assert outbox.refused_rows() == 0
