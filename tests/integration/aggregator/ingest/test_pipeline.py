"""From the broker into the store and back as an ack, whatever fails in between."""

import asyncio
import base64
import sqlite3
from datetime import timedelta

import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import func, select

from aggregator.ingest.connection import Identity
from aggregator.ingest.inbox import Inbox
from aggregator.ingest.pipeline import Ingest
from aggregator.settings import BrokerSettings
from aggregator.store.database import open_store
from aggregator.store.quarantine_bound import QuarantineBound
from aggregator.store.registry import Registration, register_engine
from aggregator.store.tables import Gateway, MissingRange, Quarantine, Telemetry, core
from shared.messages import Command, Resend, decode
from shared.ranges import as_ranges, in_ranges

BIRTH = (
    b'{"event":"birth","session":{"counter":1,"boot_nonce":"n"},"stream_id":"stream-1","next_seq":9,'
    b'"sent_at":"2026-11-21T12:00:00Z","heartbeat_interval_s":15,"agent_version":"0","engines":[],'
    b'"source":{"kind":"file","state":"reading"},"outbox":{}'
)


@pytest.fixture(autouse=True)
def _registered(recorder):
    recorder.register("E1")


@pytest.fixture
def count(store):
    def count_rows(table):
        with store.engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(core(table)))

    return count_rows


def is_acked(gateway, seq):
    return any(in_ranges(seq, ack.committed) for ack in gateway.acks)


async def test_a_record_is_acknowledged_once_it_is_in_the_store(
    broker, ingest_at, gateway_at, recorder, eventually, count
):
    async with ingest_at(broker) as ingest, gateway_at(broker.port) as gateway:
        await eventually(lambda: ingest.status.connected)
        await gateway.send({1: recorder.row("E1", 1), 2: recorder.prediction("E1", 1)})
        await gateway.send({3: recorder.row("E1", 2)}, kind="backfill")
        await eventually(lambda: all(is_acked(gateway, seq) for seq in (1, 2, 3)))

        assert count(Telemetry) == 2
        assert (ingest.status.committed_records, ingest.status.duplicate_records) == (3, 0)


async def test_bad_messages_are_set_aside_and_stop_nothing(broker, ingest_at, gateway_at, recorder, eventually, count):
    async with ingest_at(broker) as ingest, gateway_at(broker.port) as gateway:
        await eventually(lambda: ingest.status.connected)
        for kind in ("records", "status", "backfill"):
            await gateway.publish(b"\xff not JSON", kind)
        await gateway.publish(b'{"v":1,"stream_id":"stream-1","records":[[9,{"kind":"noise"}]]}')
        await gateway.send({1: recorder.row("E1", 1)})
        await eventually(lambda: is_acked(gateway, 1))

        assert [one.seq for ack in gateway.acks for one in ack.quarantined] == [9]
        assert count(Quarantine) == ingest.status.quarantined_records == 4


async def test_p4_a_gateway_gone_mad_does_not_fill_the_store(external, ingest_at, gateway_at, eventually, count):
    async with ingest_at(external) as ingest, gateway_at(external.port) as gateway:
        await eventually(lambda: ingest.status.connected)
        for number in range(8):
            await gateway.publish(b"%d" % number * 200_000)
        await eventually(lambda: ingest.status.quarantined_records == 8)
        await eventually(lambda: count(Quarantine) == 8 - ingest.status.given_up_messages <= 5)


async def test_what_is_set_aside_is_told_of_once_per_batch_with_its_first_reason(
    broker, ingest_at, gateway_at, recorder, eventually
):
    async with ingest_at(broker) as ingest, gateway_at(broker.port) as gateway:
        await eventually(lambda: ingest.status.connected)
        with structlog.testing.capture_logs() as logs:
            await gateway.send({seq: recorder.row("E9", seq) for seq in range(1, 101)})
            await eventually(lambda: ingest.status.quarantined_records == 100)
            told = [entry for entry in logs if entry["event"] == "records_quarantined"]
    assert [(entry["log_level"], entry["records"]) for entry in told] == [("info", 100)]
    assert "engine E9 is not registered" in told[0]["first_reason"]


async def test_statuses_of_an_unknown_gateway_are_told_of_once(broker, ingest_at, gateway_at, recorder, eventually):
    async with ingest_at(broker) as ingest, gateway_at(broker.port) as gateway:
        await eventually(lambda: ingest.status.connected)
        with structlog.testing.capture_logs() as logs:
            for round_of_two in range(1, 4):
                for name in ("gw-8", "gw-9"):
                    await gateway.publish(BIRTH + b"}", name=name, kind="status")
                await gateway.send({round_of_two: recorder.row("E1", round_of_two)})
                await eventually(lambda seq=round_of_two: is_acked(gateway, seq))
            told = [entry["gateway"] for entry in logs if entry["event"] == "status_of_unknown_gateway"]
    assert sorted(told) == ["gw-8", "gw-9"]


async def test_the_centre_says_whether_it_accepts_and_takes_leave(broker, ingest_at, gateway_at, eventually):
    async with gateway_at(broker.port) as gateway:
        async with ingest_at(broker):
            await eventually(lambda: gateway.accepting == [True])
        await eventually(lambda: gateway.accepting == [True, False])
    async with gateway_at(broker.port) as late:
        await eventually(lambda: set(late.accepting) == {False})  # the embedded broker repeats itself


async def test_a_birth_that_waits_at_the_broker_is_taken_before_records(
    external, ingest_at, gateway_at, recorder, eventually, store
):
    async with gateway_at(external.port) as gateway:
        await gateway._client.publish(f"{gateway.topic}/status", BIRTH + b"}", qos=1, retain=True)
        async with ingest_at(external) as ingest:
            await eventually(lambda: ingest.status.last_commit_at is not None)
            with store.engine.connect() as connection:
                assert connection.scalar(select(core(Gateway).c.event)) == "birth"


async def test_a_restored_store_asks_for_what_it_lacks_by_signed_command(
    broker, ingest_at, gateway_at, eventually, count, command_key, store
):
    async with ingest_at(broker) as ingest, gateway_at(broker.port) as gateway:
        await eventually(lambda: ingest.status.connected)
        await gateway.publish(BIRTH + b',"store_epoch":"another","held":[[3,8]]}', "status")
        await eventually(lambda: gateway.commands)
        await gateway.publish(
            b'{"command_id":"c","outcome":"done","stream_id":"stream-1","unavailable":[[8,8]]}', "reply"
        )
        await eventually(lambda: count(MissingRange) == 2)

    (signed,) = gateway.commands
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(command_key.public))
    public.verify(signed.signature, signed.command)
    command = decode(signed.command, Command)
    assert (command.site, command.gateway) == ("hamburg", "gw-1")
    assert command.order == Resend(stream_id="stream-1", ranges=[(3, 8)], store_epoch=store.epoch())
    assert command.expires_at - command.issued_at == timedelta(hours=1)


async def test_a_long_answer_goes_through_a_broker_of_small_packets(make_mosquitto, ingest_at, gateway_at, eventually):
    broker = BrokerSettings(kind="external", port=make_mosquitto("max_packet_size 4096").port)
    async with ingest_at(broker) as ingest, gateway_at(broker.port) as gateway:
        await eventually(lambda: ingest.status.connected)
        records = b",".join(b"[%d,{}]" % seq for seq in range(1, 301))
        await gateway.publish(b'{"v":1,"stream_id":"stream-1","records":[%s]}' % records)
        await eventually(lambda: {one.seq for ack in gateway.acks for one in ack.quarantined} == {*range(1, 301)})
        assert len(gateway.acks) > 1


async def test_a_killed_broker_is_found_again(mosquitto, external, ingest_at, gateway_at, recorder, eventually):
    async with ingest_at(external) as ingest:
        await eventually(lambda: ingest.status.connected)
        mosquitto.kill()
        await eventually(lambda: not ingest.status.connected)
        mosquitto.start()
        await eventually(lambda: ingest.status.connected)
        async with gateway_at(mosquitto.port) as gateway:
            await gateway.send({1: recorder.row("E1", 1)})
            await eventually(lambda: is_acked(gateway, 1))


async def test_a_locked_database_is_waited_for_without_an_ack(
    external, ingest_at, gateway_at, recorder, eventually, store, count
):
    async with ingest_at(external) as ingest, gateway_at(external.port) as gateway:
        await eventually(lambda: gateway.accepting == [True])
        other = sqlite3.connect(store.engine.url.database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await gateway.send({1: recorder.row("E1", 1)})
        await eventually(lambda: gateway.accepting == [True, False])
        assert gateway.acks == []
        await eventually(lambda: "database is locked" in ingest.status.problem)

        other.execute("ROLLBACK")
        other.close()
        await eventually(lambda: gateway.accepting == [True, False, True])
        await eventually(lambda: is_acked(gateway, 1))
        assert count(Telemetry) == 1
        assert ingest.status.problem is None


async def test_a_database_server_that_goes_away_is_waited_for(
    postgresql_server, postgresql_url, external, gateway_at, running, recorder, eventually, command_key
):
    store = open_store(postgresql_url, migrate="head")
    register_engine(store, Registration("E1", "hamburg", "gw-1", "left"))
    async with (
        running(
            Ingest(store, external, Identity("a", store.epoch()), command_key, QuarantineBound(store, 9, 999))
        ) as ingest,
        gateway_at(external.port) as gateway,
    ):
        await eventually(lambda: gateway.accepting == [True])
        postgresql_server.stop()
        await gateway.send({1: recorder.row("E1", 1)})
        await eventually(lambda: gateway.accepting == [True, False])
        assert gateway.acks == []

        postgresql_server.start()
        await eventually(lambda: is_acked(gateway, 1))
        assert gateway.accepting == [True, False, True]
        assert ingest.status.committed_records == 1
    store.close()


async def test_an_overloaded_centre_drops_what_will_come_again_and_counts_it(
    external, ingest_at, gateway_at, recorder, eventually
):
    async with (
        ingest_at(external, inbox=Inbox(max_messages=2)) as ingest,
        gateway_at(external.port) as gateway,
    ):
        await eventually(lambda: ingest.status.connected)
        rows = {seq: recorder.row("E1", seq) for seq in range(1, 51)}
        async with asyncio.TaskGroup() as tasks:
            for seq, row in rows.items():
                tasks.create_task(gateway.send({seq: row}))
        await eventually(lambda: ingest.status.dropped_messages > 0)

        for seq, row in rows.items():
            while not is_acked(gateway, seq):
                await gateway.send({seq: row})
                await asyncio.sleep(0.05)
        acked = {seq for seq in rows if is_acked(gateway, seq)}
        assert as_ranges(acked) == [(1, 50)]


async def test_a_refused_subscription_is_no_connection(free_tcp_port, ingest_at, eventually):
    async def refuse(reader, writer):
        """An MQTT 3.1.1 broker that grants no subscription, and lets nobody in a second time."""
        server.close()
        await reader.read(512)
        writer.write(b"\x20\x02\x00\x00")
        subscribe = await reader.read(512)
        writer.write(b"\x90\x03" + subscribe[2:4] + b"\x80")
        await reader.read()
        writer.close()
        await writer.wait_closed()
        served.set()

    served = asyncio.Event()
    server = await asyncio.start_server(refuse, "127.0.0.1", free_tcp_port)
    with structlog.testing.capture_logs() as logged:
        async with ingest_at(BrokerSettings(kind="external", port=free_tcp_port, mqtt_version=3)) as ingest:
            await eventually(lambda: ingest.status.since is not None)
            assert not ingest.status.connected
    await served.wait()
    assert "refuses the subscription to spoolwatch/v1/+/+/status" in logged[0]["error"]
