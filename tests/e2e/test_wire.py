"""What real programs say on the wire is of the contract in docs/asyncapi.json, in content, QoS and retention."""

import base64
import json
import subprocess
from itertools import islice
from typing import NamedTuple

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.subscribeoptions import SubscribeOptions

from simulators.engine_model import SimulatedEngine

GATEWAY = "spoolwatch/v1/hamburg/gw-1"
NEIGHBOUR = "spoolwatch/v1/hamburg/gw-2"
ROWS = 80  # more than go live after an outage, so that the rest goes as backlog

FULL_OUTBOX_ROWS = 1500  # more than an outbox of 1 MiB holds

EVERY_KIND = {
    *(("records", kind) for kind in ("telemetry", "prediction")),
    *(("backfill", kind) for kind in ("telemetry", "prediction")),
    *(("status", event) for event in ("birth", "heartbeat", "stopped", "will")),
    ("status", "held"),
    ("command", "resend"),
    ("reply", "done"),
    ("engineDesired", "signed"),
    *(("ack", part) for part in ("committed", "quarantined", "deferred", "conflict")),
    *(("centreStatus", accepting) for accepting in (True, False)),
}


class Seen(NamedTuple):
    topic: str
    payload: bytes
    qos: int
    retain: bool


class Recorder:
    """Hears every message as it was published."""

    def __init__(self, broker):
        self.seen = []
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "recorder", protocol=mqtt.MQTTv5)
        self._client.on_message = lambda _client, _userdata, message: self.seen.append(
            Seen(message.topic, bytes(message.payload), message.qos, message.retain)
        )
        self._client.connect(broker.host, broker.port)
        self._client.subscribe("spoolwatch/#", options=SubscribeOptions(qos=2, retainAsPublished=True))
        self._client.loop_start()

    def say(self, topic, message):
        payload = message if isinstance(message, bytes) else json.dumps(message)
        self._client.publish(topic, payload, qos=1).wait_for_publish(10)

    def stop(self):
        self._client.disconnect()
        self._client.loop_stop()
        self._client.on_message = None  # or it would keep the client alive, and it us


@pytest.fixture
def recorder(mosquitto):
    recorder = Recorder(mosquitto)
    yield recorder
    recorder.stop()


def kinds(channel, message):
    """Which kinds of message this is one of."""
    if channel in ("records", "backfill"):
        return {(channel, record["kind"]) for _, record in message["records"]}
    if channel == "ack":
        return {(channel, part) for part in ("committed", "quarantined", "deferred", "conflict") if message[part]}
    if channel == "command":
        return {(channel, signed(message)["order"]["action"])}
    if channel == "engineDesired":
        return {(channel, "signed")}
    if channel == "reply":
        return {(channel, message["outcome"])}
    if channel == "status" and message.get("store_epoch") is not None:
        return {(channel, "held")}
    return {(channel, message["event"] if channel == "status" else message["accepting"])}


def signed(message):
    return json.loads(base64.b64decode(message["command"]))


def envelope(cycle, **changes):
    row = {"kind": "telemetry", "engine": "E-9", "cycle": cycle, "observed_at": "2026-01-02T03:04:05Z", "channels": {}}
    return {"v": 1, "stream_id": "by-hand", "records": [[1, row]]} | changes


def test_everything_on_the_wire_is_of_the_contract(recorder, contract, aggregator, make_agent, wait_until):
    def heard():
        messages = [(contract.channel_of(one.topic), json.loads(one.payload)) for one in list(recorder.seen)]
        return set().union(*(kinds(*one) for one in messages))

    aggregator.register("E-1", "gw-1")
    aggregator.register("E-9", "gw-2")
    aggregator.register("E-3", "gw-3")
    program, store = aggregator.process.args[0], ("--data-dir", aggregator.store.parent)
    key = subprocess.run([program, "command-key", *store], check=True, capture_output=True, text=True).stdout.strip()
    agent = make_agent(serials=("E-1", "nobody-registered-it"), centre_key=key)
    small = make_agent("gw-3", serials=("E-3",), **{"outbox.max_bytes": 2**20})
    rows = [(cycle, values) for cycle, values, _ in islice(SimulatedEngine("E-1", seed=5).rows(), ROWS)]
    agent.feed(*((unit, *row) for row in rows[:2] for unit in (1, 2)))
    agent.start()
    wait_until(lambda: {("ack", "quarantined"), ("status", "heartbeat")} <= heard(), "answers and a heartbeat")
    wait_until(lambda: agent.status()["outbox"]["unacked"] == 0, "all is answered")
    aggregator.stop()
    agent.feed(*((1, *row) for row in rows[2:]))
    wait_until(lambda: agent.status()["outbox"]["unacked"] == 2 * (ROWS - 2), "a backlog has grown")
    agent.kill()
    small.feed(*((1, cycle, rows[0][1]) for cycle in range(1, FULL_OUTBOX_ROWS + 1)))
    small.start()
    wait_until(lambda: small.status()["outbox"]["dropped"], "an outbox is full")
    subprocess.run([program, "new-epoch", *store], check=True, capture_output=True)
    aggregator.start()
    agent.start()
    wait_until(lambda: ("reply", "done") in heard(), "the centre has asked for what it lacks")
    wait_until(lambda: agent.status()["outbox"]["unacked"] == 0, "the outbox is drained")
    agent.stop()
    wait_until(lambda: {("records", "gap"), ("backfill", "gap")} & heard(), "the full outbox tells what it dropped")
    small.stop()

    strange = envelope(
        1, v=2, stream_id="later"
    )  # the only message here that is not of the contract, and is said to be so
    for message in (envelope(1), envelope(2), strange):
        recorder.say(f"{NEIGHBOUR}/records", message)
    wait_until(lambda: {("ack", "conflict"), ("ack", "deferred")} <= heard(), "a conflict and a deferral")
    aggregator.stop()
    wait_until(lambda: heard() >= EVERY_KIND, "every kind of message")

    sends = {
        one["channel"]["$ref"].rsplit("/", 1)[1]: one["bindings"]["mqtt"]
        for one in contract.document["operations"].values()
        if one["action"] == "send"
    }
    broken = []
    for one in recorder.seen:
        channel = contract.channel_of(one.topic)
        message = json.loads(one.payload)
        (schema,) = contract.document["channels"][channel]["messages"]
        broken += [(message, problems) for problems in contract.problems(schema, message)]
        assert (one.qos, one.retain) == (sends[channel]["qos"], sends[channel]["retain"]), one
        limit = contract.document["components"]["messages"][schema].get("x-max-payload-bytes", len(one.payload))
        assert len(one.payload) <= limit
        if channel == "engineDesired":
            desired = json.loads(base64.b64decode(message["desired"]))
            broken += [(message, problems) for problems in contract.problems("EngineDesired", desired)]
        if channel == "command":
            broken += [(message, problems) for problems in contract.problems("Command", signed(message))]
    assert broken == [(strange, "$.v: 1 was expected")]
