"""Ingest against real brokers, watched by a gateway that speaks plain MQTT."""

import asyncio
import contextlib
import time

import aiomqtt
import pytest

from aggregator.broker import embedded_broker
from aggregator.ingest.connection import Identity
from aggregator.ingest.pipeline import Ingest
from aggregator.settings import BrokerSettings
from aggregator.signing import open_command_key
from aggregator.store.quarantine_bound import QuarantineBound
from shared.messages import Ack, CentreStatus, SignedCommand, decode, encode
from shared.messages import envelope as spell_envelope
from shared.topics import EVERY_CENTRE_STATUS

DEADLINE_S = 60.0


async def eventually(condition):
    until = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < until, "it did not come about in time"
        await asyncio.sleep(0.01)


@pytest.fixture(name="eventually")
def _eventually():
    return eventually


class Gateway:
    """Sees what the centre publishes to gateway gw-1 and to all."""

    site = "spoolwatch/v1/hamburg"
    topic = f"{site}/gw-1"

    def __init__(self, client):
        self._client = client
        self.acks, self.accepting, self.commands = [], [], []

    async def listen(self):
        async for message in self._client.messages:
            if str(message.topic).endswith("/ack"):
                assert not message.retain
                self.acks.append(decode(message.payload, Ack))
            elif str(message.topic).endswith("/command"):
                assert not message.retain
                self.commands.append(decode(message.payload, SignedCommand))
            else:
                self.accepting.append(decode(message.payload, CentreStatus).accepting)

    async def publish(self, payload, kind="records", name="gw-1"):
        await self._client.publish(f"{self.site}/{name}/{kind}", payload, qos=1)

    async def send(self, records, kind="records"):
        payload = spell_envelope("stream-1", [(seq, encode(record)) for seq, record in records.items()])
        await self.publish(payload, kind)


@contextlib.asynccontextmanager
async def gateway_at(port):
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe(f"{Gateway.topic}/ack", qos=1)
        await client.subscribe(f"{Gateway.topic}/command", qos=1)
        await client.subscribe(EVERY_CENTRE_STATUS, qos=1)
        gateway = Gateway(client)
        listening = asyncio.create_task(gateway.listen())
        try:
            yield gateway
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError, aiomqtt.MqttError):
                await listening


@pytest.fixture(name="gateway_at")
def _gateway_at():
    return gateway_at


@contextlib.asynccontextmanager
async def running(ingest):
    task = asyncio.create_task(ingest.run())
    try:
        yield ingest
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture(name="running")
def _running():
    return running


@pytest.fixture
def command_key(tmp_path):
    return open_command_key(tmp_path / "command.key")


@pytest.fixture
def bound(store):
    return QuarantineBound(store, max_rows=1000, max_bytes=2**20)


@pytest.fixture
def ingest_at(store, command_key, bound):
    """Run ingest against a broker."""

    def run(broker, **parts):
        return running(Ingest(store, broker, Identity("a", store.epoch()), command_key, bound, **parts))

    return run


@pytest.fixture(params=["mosquitto, MQTT 5", "mosquitto, MQTT 3.1.1", "embedded"])
async def broker(request, free_tcp_port):
    if request.param == "embedded":
        async with embedded_broker("127.0.0.1", free_tcp_port):
            yield BrokerSettings(port=free_tcp_port)
    else:
        version = 5 if request.param == "mosquitto, MQTT 5" else 3
        port = request.getfixturevalue("mosquitto").port
        yield BrokerSettings(kind="external", port=port, mqtt_version=version)


@pytest.fixture
def external(mosquitto):
    return BrokerSettings(kind="external", port=mosquitto.port)
