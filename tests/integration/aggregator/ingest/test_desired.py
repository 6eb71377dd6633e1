"""Gateways are told of their engines over a real broker: signed, retained, anew when something changes."""

import asyncio
import base64
import contextlib
from collections import Counter
from datetime import UTC, datetime

import aiomqtt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from structlog.testing import capture_logs

from aggregator.ingest.desired import DesiredMessages
from aggregator.settings import BrokerSettings
from aggregator.store.desired import engines_at
from aggregator.store.installations import NewInstallation, amend, install, remove
from aggregator.store.registry import Registration, register_engine
from shared.desired import EngineDesired, SignedEngineDesired
from shared.messages import decode

EVERY = "spoolwatch/v1/+/+/engine-desired"


class Listener:
    """A gateway that keeps what it hears of engines, checked as a gateway checks it."""

    def __init__(self, key):
        self._key = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.public))
        self.heard, self.retained = [], []

    def take(self, message):
        signed = decode(message.payload, SignedEngineDesired)
        self._key.verify(signed.signature, signed.desired)
        desired = decode(signed.desired, EngineDesired)
        assert str(message.topic) == f"spoolwatch/v1/{desired.site}/{desired.gateway}/engine-desired"
        self.heard.append(desired)
        self.retained.append(message.retain)

    def last(self, gateway):
        return next((one for one in reversed(self.heard) if one.gateway == gateway), None)


@pytest.fixture
def listening(command_key):
    @contextlib.asynccontextmanager
    async def listen(port):
        async with aiomqtt.Client("127.0.0.1", port) as client:
            await client.subscribe(EVERY, qos=1)
            listener = Listener(command_key)

            async def hear():
                async for message in client.messages:
                    listener.take(message)

            hearing = asyncio.create_task(hear())
            try:
                yield listener
            finally:
                hearing.cancel()
                with contextlib.suppress(asyncio.CancelledError, aiomqtt.MqttError):
                    await hearing

    return listen


@pytest.fixture(autouse=True)
def _one_engine(store, clock):
    register_engine(store, Registration("E1", "hamburg", "gw-1", "left"), clock())


async def test_a_change_is_published_and_kept_for_who_comes_later(
    broker, store, clock, ingest_at, listening, eventually
):
    async with ingest_at(broker), listening(broker.port) as gateway:
        await eventually(lambda: gateway.last("gw-1"))
        before = gateway.last("gw-1")
        assert (before.engines[0].serial, before.engines[0].installation_cycle) == ("E1", None)
        amend(store, before.engines[0].installation_id, {"installation_cycle": 7}, clock())
        await eventually(lambda: gateway.last("gw-1").ordinal > before.ordinal)
        assert gateway.last("gw-1").engines[0].installation_cycle == 7
        assert len(gateway.heard) == 2
        async with listening(broker.port) as later:
            await eventually(lambda: later.heard)
            assert later.heard == gateway.heard[-1:]
            assert later.retained == [True]


async def test_another_start_says_the_same(external, ingest_at, listening, eventually):
    async with listening(external.port) as gateway:
        for starts in (1, 2):
            async with ingest_at(external):
                await eventually(lambda starts=starts: len(gateway.heard) == starts)
        assert gateway.heard[0] == gateway.heard[1]


async def test_what_another_aggregator_has_made_is_published_here_too(store, command_key, clock, eventually):
    sent = []

    async def send(topic, _):
        sent.append(topic)

    mine, other = (DesiredMessages(store, "one", command_key) for _ in range(2))
    running = asyncio.create_task(mine.run(send))
    await eventually(lambda: len(sent) == 1)
    register_engine(store, Registration("E2", "hamburg", "gw-2", "left"), clock())
    other._news()
    await eventually(lambda: len(sent) == 2)
    running.cancel()
    assert sent == [f"spoolwatch/v1/hamburg/gw-{number}/engine-desired" for number in (1, 2)]


async def test_p4_a_message_that_the_broker_does_not_take_keeps_nobody_else_from_theirs(
    make_mosquitto, store, clock, recorder, ingest_at, listening, eventually, capsys
):
    for cycle in range(1, 130):
        recorder.send(recorder.row("E1", cycle, {f"channel-{number}": 1.5 for number in range(20)}))
    remove(store, "E1", clock(), clock())
    install(store, NewInstallation("E1", "gw-1", "right", clock()), clock())
    register_engine(store, Registration("E2", "hamburg", "gw-2", "left"), clock())
    broker = BrokerSettings(kind="external", port=make_mosquitto("max_packet_size 4096").port)
    async with listening(broker.port) as gateway, ingest_at(broker) as ingest:
        await eventually(lambda: gateway.last("gw-2"))
        await eventually(lambda: ingest.status.connected)
        assert gateway.last("gw-1") is None
    assert "desired_not_published" in capsys.readouterr().out


async def test_a_large_message_that_was_given_up_is_tried_again_later(
    store, command_key, monkeypatch, eventually, capsys
):
    for number in range(2, 30):
        register_engine(store, Registration(f"E{number}", "hamburg", "gw-1", str(number)), datetime.now(UTC))
    sent = []

    async def fail(*_):
        raise aiomqtt.MqttError("the connection ended")

    async def send(topic, _):
        sent.append(topic)

    now_s = 0.0
    monkeypatch.setattr("aggregator.ingest.desired.POLL_S", 0.01)
    desired = DesiredMessages(store, "one", command_key, monotonic_s=lambda: now_s)
    for _ in range(2):
        with pytest.raises(aiomqtt.MqttError):
            await desired.run(fail)
    running = asyncio.create_task(desired.run(send))
    await eventually(lambda: "desired_not_published" in capsys.readouterr().out)
    assert not sent
    now_s = 601.0
    await eventually(lambda: sent == ["spoolwatch/v1/hamburg/gw-1/engine-desired"])
    running.cancel()


async def test_p4_many_whose_news_cannot_be_told_are_named_once_a_minute_and_keep_nobody_from_theirs(
    store, command_key, monkeypatch, eventually
):
    for number in range(2, 152):
        register_engine(store, Registration(f"E{number}", "hamburg", f"gw-{number}", "left"), datetime.now(UTC))
    tries, sent, now_s = Counter(), [], 0.0

    def engines_or_none(connection, gateway_id):
        if gateway_id <= 150:
            tries[gateway_id] += 1
            raise ValueError("no such age")
        return engines_at(connection, gateway_id)

    async def send(topic, _):
        sent.append(topic)

    monkeypatch.setattr("aggregator.store.desired.engines_at", engines_or_none)
    monkeypatch.setattr("aggregator.ingest.desired.POLL_S", 0.001)
    desired = DesiredMessages(store, "one", command_key, monotonic_s=lambda: now_s)
    with capture_logs() as lines:
        running = asyncio.create_task(desired.run(send))
        await eventually(lambda: sent == ["spoolwatch/v1/hamburg/gw-151/engine-desired"])
        register_engine(store, Registration("E152", "hamburg", "gw-152", "left"), datetime.now(UTC))
        await eventually(lambda: len(sent) == 2)
        assert set(tries.values()) == {1}
        (line,) = lines
        assert (line["event"], line["gateways"], len(line["reasons_by_id"])) == ("desired_not_renewed", 150, 10)
        assert line["reasons_by_id"][1] == "no such age"
        now_s = 61.0
        await eventually(lambda: set(tries.values()) == {2})
        running.cancel()


async def test_a_store_that_cannot_be_read_is_asked_again(store, command_key, monkeypatch, eventually, capsys):
    sent = []

    async def send(topic, _):
        sent.append(topic)

    desired = DesiredMessages(store, "one", command_key)
    monkeypatch.setattr("aggregator.ingest.desired.RETRY_S", 0.01)
    store.close()
    working, desired._store = desired._store, None
    running = asyncio.create_task(desired.run(send))
    await eventually(lambda: "desired_not_read" in capsys.readouterr().out)
    desired._store = working
    await eventually(lambda: sent)
    running.cancel()
