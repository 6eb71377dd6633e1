"""Hardware of every protocol, played by the simplest real server of it; a new protocol is one more rig here.

A rig gives readings by number: reading ``n`` is cycle ``n`` or a sample with the value ``n`` of the channel T24.
"""

import asyncio
import json
import os
import socket
from datetime import UTC, datetime, timedelta

import paho.mqtt.client as paho
import pytest
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from edge_agent.modbus_settings import ModbusRtuSource, ModbusTcpSource, RegisterMap
from edge_agent.opcua_settings import OpcUaSource
from edge_agent.serial_settings import SerialSource
from edge_agent.settings import FileSource, MqttSource, TcpSource
from edge_agent.sources.file import CmapssFile
from edge_agent.sources.modbus import ModbusDevices
from edge_agent.sources.mqtt import MqttReadings
from edge_agent.sources.opcua import OpcUaNodes
from edge_agent.sources.serial import SerialLines
from edge_agent.sources.tcp import TcpLines
from simulators.link import Link
from tests.integration.edge_agent.sources.conftest import SerialLine

NOW = datetime(2026, 1, 2, tzinfo=UTC)
HOST = "127.0.0.1"


def now():
    return NOW


def free_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


class Rig:
    """What the suite asks of hardware.

    Attributes:
        waits: it keeps what was not accepted, and gives it again.
        takes_garbage: it can say something that is no reading.
        names_engines: what it says names an engine, which may be a strange one.
    """

    waits = False
    takes_garbage = True
    names_engines = True

    async def come(self):
        """Be in reach."""

    async def go(self):
        """Be out of reach, as when its cable is pulled."""

    async def listened_to(self):
        """Wait until what it gives reaches a source that was just opened."""

    async def give(self, number):
        """Give reading number so-and-so."""

    async def give_raw(self, raw):
        """Say something that is no reading."""

    async def give_strange(self):
        """Give a reading of an engine that is not this gateway's."""

    async def end(self):
        """Leave nothing open."""


class FileRig(Rig):
    waits = True  # by its cursor

    def __init__(self, tmp_path, _broker):
        self.path = tmp_path / "rows.txt"

    def source(self):
        return CmapssFile(FileSource(path=self.path, follow=True, poll_interval_s=0.01), {1: "E-1"}, now)

    async def come(self):
        self.path.touch()

    async def go(self):
        self.path.unlink()

    async def give(self, number, unit=1):
        await self.give_raw(" ".join([str(unit), str(number), *(["0"] * 4), str(number), *(["0"] * 19)]).encode())

    async def give_raw(self, raw):
        with self.path.open("ab") as file:
            file.write(raw + b"\n")

    async def give_strange(self):
        await self.give(1, unit=9)


def sample(number, engine="E-1"):
    at = NOW + timedelta(seconds=number)
    return json.dumps({"engine": engine, "observed_at": at.isoformat(), "channels": {"T24": number}}).encode()


class MqttRig(Rig):
    waits = True
    topic = "rig/readings"
    gives = "samples"

    def __init__(self, _tmp_path, broker):
        self.broker = broker
        self.broker.kill()
        self.client = None

    def source(self):
        return MqttReadings(
            MqttSource(topic=self.topic, gives=self.gives, host=HOST, port=self.broker.port), {"E-1"}, now
        )

    async def come(self):
        await asyncio.to_thread(self.broker.start)
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self.client.connect(HOST, self.broker.port)
        self.client.loop_start()

    async def go(self):
        self.broker.kill()
        await self.end()

    async def end(self):
        if self.client is not None:
            self.client.disconnect()
            self.client.loop_stop()
        self.client = None

    async def say(self, topic, payload):
        publication = self.client.publish(topic, payload, qos=1)
        await asyncio.to_thread(publication.wait_for_publish, 60)

    async def give(self, number):
        await self.say(self.topic, sample(number))

    async def give_raw(self, raw):
        await self.say(self.topic, raw)

    async def give_strange(self):
        await self.say(self.topic, sample(1, "E-9"))


class MqttRowsRig(MqttRig):
    gives = "rows"

    async def give(self, number, engine="E-1"):
        row = {"engine": engine, "cycle": number, "observed_at": NOW.isoformat(), "channels": {"T24": number}}
        await self.say(self.topic, json.dumps(row))

    async def give_strange(self):
        await self.give(1, "E-9")


class MqttValuesRig(MqttRig):
    topic = "rig/{engine}/{channel}"
    gives = "values"

    async def give(self, number, engine="E-1"):
        await self.say(f"rig/{engine}/T24", str(number))

    async def give_raw(self, raw):
        await self.say("rig/E-1/T24", raw)

    async def give_strange(self):
        await self.give(1, "E-9")


class TcpRig(Rig):
    def __init__(self, _tmp_path, _broker):
        self.port = free_port()
        self.server = None
        self.writers = asyncio.Queue()
        self.writer = None

    def source(self):
        return TcpLines(TcpSource(host=HOST, port=self.port), {"E-1"}, now)

    async def come(self):
        async def serve(_reader, writer):
            await self.writers.put(writer)

        self.server = await asyncio.start_server(serve, HOST, self.port)

    async def listened_to(self):
        self.writer = await self.writers.get()

    async def go(self):
        self.server.close()
        while not self.writers.empty():
            self.writers.get_nowait().close()
        if self.writer is not None:
            self.writer.close()
        self.server = self.writer = None

    async def end(self):
        if self.server is not None:
            await self.go()

    async def say(self, raw):
        self.writer.write(raw)
        await self.writer.drain()

    async def give(self, number):
        await self.say(sample(number) + b"\n")

    async def give_raw(self, raw):
        await self.say(raw + b"\n")

    async def give_strange(self):
        await self.say(sample(1, "E-9") + b"\n")


class SerialRig(Rig):
    def __init__(self, tmp_path, _broker):
        self.device = tmp_path / "ttyUSB0"
        self.line = None

    def source(self):
        return SerialLines(SerialSource(device=self.device), {"E-1"}, now)

    async def come(self):
        self.line = SerialLine()
        self.device.symlink_to(self.line.near)
        self.far = os.open(self.line.far, os.O_WRONLY | os.O_NOCTTY)

    async def go(self):
        self.device.unlink()
        os.close(self.far)
        self.line.unplug()
        self.line = None

    async def end(self):
        if self.line is not None:
            await self.go()

    async def say(self, raw):
        await asyncio.to_thread(os.write, self.far, raw)

    async def give(self, number):
        await self.say(sample(number) + b"\n")

    async def give_raw(self, raw):
        await self.say(raw + b"\n")

    async def give_strange(self):
        await self.say(sample(1, "E-9") + b"\n")


class ModbusRig(Rig):
    takes_garbage = names_engines = False
    map = RegisterMap.model_validate({"sample": {"address": 0}, "channels": {"T24": {"address": 1}}})

    def __init__(self, _tmp_path, _broker):
        self.port = free_port()
        self.words = [0, 0]
        self.server = None
        self.read = asyncio.Event()

    def source(self):
        settings = ModbusTcpSource(host=HOST, port=self.port, registers=self.map, poll_interval_s=0.01, timeout_s=1.0)
        return ModbusDevices(settings, {1: "E-1"}, now)

    def device(self):
        return SimDevice(1, [SimData(0, 2, 0, datatype=DataType.REGISTERS)], action=self._answer)

    async def _answer(self, _function, _start, _address, _count, registers, _values):
        registers[:2] = self.words
        self.read.set()

    async def come(self):
        self.server = ModbusTcpServer([self.device()], address=(HOST, self.port))
        await self.server.serve_forever(background=True)

    async def listened_to(self):
        self.read.clear()
        await self.read.wait()

    async def go(self):
        await self.server.shutdown()
        self.server = None

    async def end(self):
        if self.server is not None:
            await self.go()

    async def give(self, number):
        """A register holds the last number only: one is given when it has been read."""
        self.words = [number, number]
        for _ in range(2):
            self.read.clear()
            await self.read.wait()


class ModbusRtuRig(ModbusRig):
    def __init__(self, tmp_path, broker):
        super().__init__(tmp_path, broker)
        self.path = tmp_path / "ttyUSB0"
        self.line = None

    def source(self):
        settings = ModbusRtuSource(
            device=self.path, registers=self.map, poll_interval_s=0.01, timeout_s=1.0, parity="none"
        )
        return ModbusDevices(settings, {1: "E-1"}, now)

    async def come(self):
        self.line = SerialLine()
        self.path.symlink_to(self.line.near)
        self.server = ModbusSerialServer([self.device()], port=str(self.line.far))
        await self.server.serve_forever(background=True)

    async def go(self):
        await super().go()
        self.path.unlink()
        self.line.unplug()


class OpcUaRig(Rig):
    takes_garbage = names_engines = False
    mode = "subscription"

    def __init__(self, plc):
        self.plc = plc
        self.plc.write(-1000, T24=0.0)
        self.link = Link(plc.port)
        self.link.refuse()

    def source(self):
        settings = OpcUaSource(
            url=f"opc.tcp://{HOST}:{self.link.port}",
            mode=self.mode,
            interval_s=0.02,
            timeout_s=1.0,
            nodes={"channels": {"T24": "ns=2;s={engine}.T24"}},
        )
        return OpcUaNodes(settings, {1: "E-1"}, now)

    async def come(self):
        self.link.heal()

    async def go(self):
        self.link.refuse()

    async def end(self):
        self.link.close()

    async def give(self, number):
        await asyncio.to_thread(self.plc.write, number, T24=float(number))


class OpcUaPollRig(OpcUaRig):
    mode = "poll"


RIGS = {
    "file": FileRig,
    "mqtt_rows": MqttRowsRig,
    "mqtt_samples": MqttRig,
    "mqtt_values": MqttValuesRig,
    "tcp": TcpRig,
    "serial": SerialRig,
    "modbus_tcp": ModbusRig,
    "modbus_rtu": ModbusRtuRig,
    "opcua_subscription": OpcUaRig,
    "opcua_poll": OpcUaPollRig,
}


@pytest.fixture(params=RIGS)
async def rig(request, tmp_path):
    kind = RIGS[request.param]
    if issubclass(kind, OpcUaRig):
        rig = kind(request.getfixturevalue("plc"))
    else:
        rig = kind(tmp_path, request.getfixturevalue("mosquitto") if issubclass(kind, MqttRig) else None)
    yield rig
    await rig.end()
