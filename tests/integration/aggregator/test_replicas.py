"""Two aggregators share the records over one PostgreSQL; one of them is killed in the middle."""

import asyncio
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import aiomqtt
import httpx
import pytest
from sqlalchemy import select

from aggregator.store.database import open_store
from aggregator.store.registry import Registration, register_engine
from aggregator.store.tables import Prediction, Receipt, Telemetry, core
from shared.messages import Ack, Command, Reply, SignedCommand, decode, encode, envelope
from shared.ranges import as_ranges
from shared.topics import EVERY_CENTRE_STATUS

PROGRAM = Path(sys.executable).with_name("spoolwatch-aggregator")
DEADLINE_S = 60.0
RESEND_S = 1.0
CYCLES = 300
GATEWAYS = ("gw-1", "gw-2", "gw-3")


@pytest.fixture
def store(postgresql_url):
    store = open_store(postgresql_url, migrate="head")
    for number, gateway in enumerate(GATEWAYS, 1):
        register_engine(store, Registration(f"E{number}", "hamburg", gateway, "left"))
    yield store
    store.close()


@pytest.fixture
def replica(tmp_path, mosquitto, postgresql_url, store, free_tcp_port_factory):
    """Start an aggregator of the share group; returns its process and the address of its API."""
    running = []

    def start(name):
        port = free_tcp_port_factory()
        command = [PROGRAM, "serve", "--replica", name, "--data-dir", tmp_path / name, "--api.port", str(port)]
        command += ["--broker.kind", "external", "--broker.port", str(mosquitto.port), "--broker.share-group", "centre"]
        command += ["--command-key-file", tmp_path / "command.key", "--database-url", postgresql_url]
        with (tmp_path / f"{name}.log").open("w") as log:
            running.append(subprocess.Popen(command, stderr=log))
        return running[-1], f"http://127.0.0.1:{port}"

    yield start
    for process in running:
        if process.poll() is None:
            process.terminate()
        process.wait(DEADLINE_S)


class Fleet:
    """Gateways that send again what is not acknowledged."""

    def __init__(self, client, recorder):
        self.client, self.accepting = client, set()
        self.waiting = {
            gateway: {
                seq: encode(make(f"E{number}", (seq + 1) // 2))
                for seq, make in zip(
                    range(1, 2 * CYCLES + 1), [recorder.row, recorder.prediction] * CYCLES, strict=True
                )
            }
            for number, gateway in enumerate(GATEWAYS, 1)
        }
        self.acks = 0

    async def listen(self):
        async for message in self.client.messages:
            levels = str(message.topic).split("/")
            if levels[-1] == "status":
                self.accepting.add(levels[-2])
                continue
            ack = decode(message.payload, Ack)
            assert (ack.conflict, ack.quarantined) == (None, [])
            self.acks += 1
            for first, last in ack.committed:
                for seq in range(first, last + 1):
                    self.waiting[levels[3]].pop(seq, None)

    async def send(self):
        """Everything that is not acknowledged, a record per message."""
        for gateway, records in self.waiting.items():
            for seq, body in list(records.items()):
                payload = envelope(f"stream of {gateway}", [(seq, body)])
                await self.client.publish(f"spoolwatch/v1/hamburg/{gateway}/records", payload, qos=1)


async def counts(api):
    """What a replica has committed, and what it found to be stored already."""
    async with httpx.AsyncClient(base_url=api) as client:
        ingest = (await client.get("/health/ready")).raise_for_status().json()["ingest"]
    return ingest["committed_records"], ingest["duplicate_records"]


async def share(apis):
    """Wait until each replica has committed something; what came once went to one of them."""
    deadline = time.monotonic() + DEADLINE_S
    done = [(0, 0)]
    while not all(committed for committed, _ in done):
        assert time.monotonic() < deadline, f"each commits something: {done}"
        done = [await counts(api) for api in apis]
    committed, duplicates = map(sum, zip(*done, strict=True))
    assert duplicates <= committed / 10, done


async def until(condition, what):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)


@pytest.mark.timeout(150)
async def test_what_two_replicas_share_is_stored_once_though_one_is_killed(
    replica, mosquitto, recorder, store, tmp_path
):
    replicas = {name: replica(name) for name in ("a", "b")}
    async with aiomqtt.Client(mosquitto.host, mosquitto.port) as client:
        fleet = Fleet(client, recorder)
        listening = asyncio.create_task(fleet.listen())
        for topic in ("spoolwatch/v1/+/+/ack", EVERY_CENTRE_STATUS):
            await client.subscribe(topic, qos=1)
        await until(lambda: fleet.accepting == {"a", "b"}, "both accept")
        sending = asyncio.create_task(fleet.send())
        await share([api for _, api in replicas.values()])
        await until(lambda: fleet.acks >= len(GATEWAYS), "the first records are acknowledged")
        replicas["b"][0].kill()
        await sending
        while any(fleet.waiting.values()):
            left = [len(records) for records in fleet.waiting.values()]
            await asyncio.sleep(RESEND_S)
            if left == [len(records) for records in fleet.waiting.values()]:
                await fleet.send()
        listening.cancel()

    with store.engine.connect() as connection:
        for table in (Telemetry, Prediction):
            columns = core(table).c.engine_id, core(table).c.cycle
            found = sorted(tuple(row) for row in connection.execute(select(*columns)))
            assert found == [(engine, cycle) for engine in (1, 2, 3) for cycle in range(1, CYCLES + 1)]
        runs = connection.execute(select(core(Receipt).c["stream", "first_seq", "last_seq"])).all()
    for stream in {run.stream for run in runs}:
        seqs = [seq for run in runs if run.stream == stream for seq in range(run.first_seq, run.last_seq + 1)]
        assert (as_ranges(seqs), len(seqs)) == ([(1, 2 * CYCLES)], 2 * CYCLES)


class Obedient:
    """A gateway that obeys every command, and says so twice."""

    def __init__(self, client):
        self.client, self.accepting, self.obeyed = client, set(), []

    async def listen(self):
        async for message in self.client.messages:
            levels = str(message.topic).split("/")
            if levels[-1] == "status":
                self.accepting.add(levels[-2])
                continue
            command = decode(decode(message.payload, SignedCommand).command, Command)
            self.obeyed.append(command.command_id)
            for _ in range(2):
                reply = encode(Reply(command_id=command.command_id, outcome="done"))
                await self.client.publish("spoolwatch/v1/hamburg/gw-1/reply", reply, qos=1)


@pytest.mark.timeout(150)
async def test_an_answer_is_heard_whichever_replica_it_comes_to(replica, mosquitto, recorder, store):
    apis = [replica(name)[1] for name in ("a", "b")]
    async with aiomqtt.Client(mosquitto.host, mosquitto.port) as client:
        gateway = Obedient(client)
        listening = asyncio.create_task(gateway.listen())
        for topic in ("spoolwatch/v1/hamburg/gw-1/command", EVERY_CENTRE_STATUS):
            await client.subscribe(topic, qos=1)
        await until(lambda: gateway.accepting == {"a", "b"}, "both accept")
        recorder.clock.at = datetime.now(UTC)
        recorder.status("heartbeat")
        asked = []
        async with httpx.AsyncClient(timeout=90) as http:
            for api in apis * 3:
                answer = await http.post(
                    f"{api}/api/v1/gateways/gw-1/commands", params={"wait_s": 20}, json={"action": "restart_source"}
                )
                assert (answer.status_code, answer.json()["state"]) == (200, "done"), answer.text
                asked.append(answer.json()["id"])
                recorder.clock.at = datetime.now(UTC)
                recorder.status("heartbeat")
        assert gateway.obeyed == asked
        listening.cancel()
