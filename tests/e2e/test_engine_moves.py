"""An engine moves from one gateway to another, and its history and state follow its serial."""

import subprocess
from base64 import b64decode
from itertools import islice

import numpy as np
import paho.mqtt.client as mqtt

from shared.desired import EngineDesired, SignedEngineDesired
from shared.messages import encode
from simulators.engine_model import SimulatedEngine

FLOWN, AFTERWARDS = 140, 20


def test_an_engine_that_moves_is_judged_as_if_it_had_stayed(
    aggregator, make_agent, offline, mosquitto, wait_until, tmp_path
):
    def predictions():
        return aggregator.pages("/engines/E-1/predictions", limit=500, include="input")

    rows = [(cycle, values) for cycle, values, _ in islice(SimulatedEngine("E-1", seed=6).rows(), FLOWN + AFTERWARDS)]
    expected = offline([(1, *row) for row in rows])
    aggregator.register("E-1", "gw-1", installation_cycle=0)
    aggregator.register("E-2", "gw-2")
    program, store = aggregator.process.args[0], ("--data-dir", aggregator.store.parent)
    key = subprocess.run([program, "command-key", *store], check=True, capture_output=True, text=True).stdout.strip()

    first = make_agent("gw-1", centre_key=key)
    first.start()
    wait_until(lambda: "engines_desired" in first.log.read_text(), "the first gateway knows its engine")
    first.feed(*((1, *row) for row in rows[:FLOWN]))
    wait_until(lambda: len(predictions()) == FLOWN, "the engine has flown at its first gateway")
    [installed] = aggregator.api.get("/installations", params={"engine": "E-1"}).json()["items"]
    assert first.stop() == 0

    second = make_agent("gw-2", serials=("E-2", "E-1"), centre_key=key)
    second.start()
    wait_until(lambda: "engines_not_installed_here" in second.log.read_text(), "it is not installed there yet")
    ended = aggregator.api.patch(f"/installations/{installed['id']}", json={"installed_to": now(aggregator)})
    assert ended.status_code == 200, ended.text
    moved = aggregator.api.post("/installations", json={"engine": "E-1", "gateway": "gw-2", "position": "2"})
    assert moved.status_code == 201, moved.text
    wait_until(lambda: second.log.read_text().count("engines_desired ") == 2, "the second gateway is told")
    forge(mosquitto, "gw-2")
    wait_until(lambda: "message_not_used" in second.log.read_text(), "a forged message is refused and logged")

    second.kill()  # whatever it was told, it must know again
    mosquitto.kill()
    second.feed(*((2, number, values) for number, (_, values) in enumerate(rows[FLOWN:], start=1)))
    second.start()
    wait_until(lambda: second.status()["outbox"]["unacked"] == 2 * AFTERWARDS, "its rows are taken offline")
    mosquitto.start()
    wait_until(lambda: len(predictions()) == FLOWN + AFTERWARDS, "they are delivered")

    there = {item["cycle"]: item for item in predictions() if item["installation_id"] == moved.json()["id"]}
    assert there.keys() == set(range(1, AFTERWARDS + 1))
    for number, item in there.items():
        rul, tensor = expected["E-1", FLOWN + number]
        assert np.abs(as_steps(b64decode(item["input"])) - as_steps(tensor)).max() <= 1
        assert abs(item["rul"]["q50_cycles"] - rul["q50_cycles"]) < 3
        assert item["flags"] == {}
    assert aggregator.pages("/quarantine") == []


def as_steps(tensor):
    return np.frombuffer(tensor, np.int8).astype(int)


def now(aggregator):
    """By the clock of the centre's last row."""
    return aggregator.api.get("/engines/E-1").json()["row"]["received_at"]


def forge(broker, gateway):
    """Say in the centre's name that nothing hangs at a gateway."""
    body = encode(EngineDesired(site="hamburg", gateway=gateway, ordinal=2**62, engines=[]))
    payload = encode(SignedEngineDesired(desired=body, signature=bytes(64)))
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "forger", protocol=mqtt.MQTTv5)
    client.connect(broker.host, broker.port)
    client.loop_start()
    client.publish(f"spoolwatch/v1/hamburg/{gateway}/engine-desired", payload, qos=1).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()
