"""The MQTT source against a real mosquitto."""

import asyncio
import json
import math
import socket
from datetime import UTC, datetime, timedelta

import paho.mqtt.client as paho
import pytest
from pydantic import ValidationError

from edge_agent.ports import RefusedRow
from edge_agent.settings import MqttSource
from edge_agent.sources import mqtt as mqtt_source
from edge_agent.sources.mqtt import MqttReadings
from shared.errors import SourceError

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def hardware(mosquitto):
    """The engine's own publisher."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.connect(mosquitto.host, mosquitto.port)
    client.loop_start()
    yield client
    client.disconnect()
    client.loop_stop()


def payload(cycle, engine="E-1"):
    return json.dumps(
        {"engine": engine, "cycle": cycle, "observed_at": "2026-01-02T00:00:00Z", "channels": {"T24": 1.5, "T30": None}}
    )


def rows(mosquitto, version=5):
    return MqttReadings(
        MqttSource(topic="rig/rows", host=mosquitto.host, port=mosquitto.port, mqtt_version=version),
        {"E-1"},
        lambda: NOW,
    )


async def next_rows(batches):
    async with asyncio.timeout(30):
        while not (batch := await anext(batches)).readings:
            pass
    return batch


async def subscribed(batches):
    """The first, empty batch comes once the subscription has had a second to stand."""
    async with asyncio.timeout(30):
        assert (await anext(batches)).readings == []


@pytest.mark.parametrize("version", [3, 5])
async def test_messages_become_rows_and_bad_ones_are_refused(mosquitto, hardware, version):
    batches = rows(mosquitto, version).batches(None)
    await subscribed(batches)
    for message in (payload(1), "{", payload(2, "E-9"), payload(3)):
        hardware.publish("rig/rows", message, qos=1).wait_for_publish(5)
    readings = []
    while len(readings) < 4:
        readings += (await next_rows(batches)).readings
    first, broken, foreign, last = readings
    assert (first.engine, first.cycle, last.cycle) == ("E-1", 1, 3)
    assert first.channels["T24"] == 1.5
    assert math.isnan(first.channels["T30"])
    assert first.raw == payload(1).encode()
    assert isinstance(broken, RefusedRow)
    assert "E-9" in foreign.reason
    await batches.aclose()


@pytest.mark.parametrize("version", [3, 5])
async def test_only_accepted_rows_are_forgotten_by_the_broker(mosquitto, hardware, version):
    first_life = rows(mosquitto, version)
    batches = first_life.batches(None)
    await subscribed(batches)
    hardware.publish("rig/rows", payload(1), qos=1).wait_for_publish(5)
    first_life.accepted(await next_rows(batches))
    hardware.publish("rig/rows", payload(2), qos=1).wait_for_publish(5)
    assert (await next_rows(batches)).readings[0].cycle == 2
    await batches.aclose()

    second_life = rows(mosquitto, version).batches(None)
    assert [row.cycle for row in (await next_rows(second_life)).readings] == [2]
    await second_life.aclose()


async def test_values_of_single_channels_are_samples_dated_by_themselves_or_by_their_arrival(mosquitto, hardware):
    settings = MqttSource(topic="rig/{engine}/{channel}", gives="values", host=mosquitto.host, port=mosquitto.port)
    hardware.publish("rig/E-1/T24", "1.0", qos=1, retain=True).wait_for_publish(5)  # from nobody knows when
    batches = MqttReadings(settings, {"E-1"}, lambda: NOW).batches(None)
    await subscribed(batches)
    dated = '{"value": 3.5, "observed_at": "2026-01-02T00:00:05Z"}'
    for topic, payload in [("T24", "2.5"), ("T30", "null"), ("P30", dated), ("phi", "high")]:
        hardware.publish(f"rig/E-1/{topic}", payload, qos=1).wait_for_publish(5)
    readings = []
    while len(readings) < 4:
        readings += (await next_rows(batches)).readings
    first, missing, third, refused = readings
    assert (first.channels, first.observed_at, first.cycle) == ({"T24": 2.5}, NOW, None)
    assert math.isnan(missing.channels["T30"])
    assert (third.channels, third.observed_at) == ({"P30": 3.5}, NOW + timedelta(seconds=5))
    assert refused.reason.startswith("rig/E-1/phi: ")
    await batches.aclose()


@pytest.mark.parametrize(
    ("gives", "topic"),
    [
        ("values", "rig/+/T24"),
        ("values", "rig/{engine}"),
        ("values", "rig/x{engine}/{channel}"),
        ("rows", "rig/{engine}"),
    ],
)
def test_a_topic_that_does_not_name_what_it_must_is_refused(gives, topic):
    with pytest.raises(ValidationError, match="topic: "):
        MqttSource(topic=topic, gives=gives)


async def test_a_broker_that_does_not_answer_is_no_silent_hardware(monkeypatch):
    monkeypatch.setattr(mqtt_source, "CONNECT_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        settings = MqttSource(topic="rig/rows", port=mute.getsockname()[1])
        batches = MqttReadings(settings, {"E-1"}, lambda: NOW).batches(None)
        with pytest.raises(SourceError, match=r"no answer within 0\.2 s"):
            await anext(batches)


async def test_a_lost_broker_is_a_failed_source(mosquitto):
    batches = rows(mosquitto).batches(None)
    await subscribed(batches)
    mosquitto.kill()
    with pytest.raises(SourceError, match="local broker"):
        await next_rows(batches)
