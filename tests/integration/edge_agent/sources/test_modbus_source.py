"""The Modbus source against real servers, over TCP and over a serial line made of two pseudo-terminals."""

import asyncio
import math
import socket
import struct
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import pytest
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from edge_agent.modbus_settings import ModbusRtuSource, ModbusTcpSource, RegisterMap
from edge_agent.sources.modbus import ModbusDevices
from shared.errors import SourceError

NOW = datetime(2026, 1, 2, tzinfo=UTC)
MAP = RegisterMap.model_validate(
    {
        "cycle": {"address": 0, "type": "uint32"},
        "sample": {"address": 2},
        "channels": {
            "T24": {"address": 3, "scale": 0.01},
            "T30": {"address": 4, "type": "float32", "word_order": "little"},
            "phi": {"address": 9, "type": "int16", "missing": -32768},
        },
    }
)


class Device:
    """Holding registers 0 to 9 that a test writes into, or what the device answers instead."""

    def __init__(self, unit):
        self.words = [0, 7, 1, 64_240, 0, 0x44C6, 0, 0, 0, 0x8000]
        self.refusal = None
        self.delay_s = 0.0
        self.delays_s = {}
        self.simulated = SimDevice(unit, [SimData(0, 10, 0, datatype=DataType.REGISTERS)], action=self._give)

    async def _give(self, _function, _start, address, _count, registers, _values):
        delays_s = self.delays_s.get(address)
        await asyncio.sleep(delays_s.pop(0) if delays_s else self.delay_s)
        registers[:10] = self.words
        return self.refusal


@asynccontextmanager
async def serving(server):
    await server.serve_forever(background=True)
    yield server
    await server.shutdown()


@pytest.fixture
def devices():
    return {unit: Device(unit) for unit in (1, 2)}


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def server(devices, port):
    return serving(ModbusTcpServer([device.simulated for device in devices.values()], address=("127.0.0.1", port)))


def source(port, **options):
    settings = ModbusTcpSource(
        host="127.0.0.1", port=port, registers=MAP, **({"poll_interval_s": 0.01, "timeout_s": 0.2} | options)
    )
    return ModbusDevices(settings, {1: "E-1", 2: "E-2"}, lambda: NOW)


async def take(batches, count):
    samples = []
    async with asyncio.timeout(60):
        while len(samples) < count:
            samples += (await anext(batches)).readings
    return samples


async def test_each_engine_gives_a_sample_of_its_own_device(devices, port):
    devices[2].words[3] = 50_000
    async with server(devices, port):
        batches = source(port).batches(None)
        first, second = await take(batches, 2)
        await batches.aclose()
    assert (first.engine, second.engine, first.cycle, first.observed_at) == ("E-1", "E-2", 7, NOW)
    assert first.channels == pytest.approx({"T24": 642.40, "T30": 1584.0, "phi": math.nan}, nan_ok=True)
    assert second.channels["T24"] == 500.0
    assert first.raw == b"".join(devices[1].words[place].to_bytes(2) for place in (0, 1, 2, 3, 4, 5, 9))


async def test_a_sample_that_was_given_is_not_given_again(devices, port):
    async with server(devices, port):
        batches = source(port).batches(None)
        await take(batches, 2)
        for _ in range(6):
            assert (await anext(batches)).readings == []
        devices[2].words[2] = 2
        (fresh,) = await take(batches, 1)
        await batches.aclose()
    assert fresh.engine == "E-2"


async def test_between_two_polls_it_says_that_it_is_alive(devices, port):
    async with server(devices, port):
        batches = source(port, poll_interval_s=3600).batches(None)
        await take(batches, 2)
        assert (await anext(batches)).readings == []
        await batches.aclose()


@pytest.mark.parametrize("trouble", [{"refusal": ExcCodes.DEVICE_FAILURE}, {"delay_s": 5.0}])
async def test_a_device_that_gives_nothing_costs_the_others_nothing(devices, port, trouble):
    (what, value), *_ = trouble.items()
    setattr(devices[1], what, value)
    async with server(devices, port):
        batches = source(port).batches(None)
        samples = []
        for number in range(2, 7):
            samples += await take(batches, 1)
            devices[2].words[2] = number
        await batches.aclose()
    assert {sample.engine for sample in samples} == {"E-2"}


async def test_where_nobody_answers_the_source_has_failed(devices, port):
    for device in devices.values():
        device.delay_s = 5.0
    async with server(devices, port):
        with pytest.raises(SourceError, match=r"no device answers.*unit 2"):
            await anext(source(port).batches(None))


async def test_where_nobody_listens_the_source_has_failed(port):
    with pytest.raises(SourceError, match=f"127.0.0.1:{port} cannot be opened"):
        await anext(source(port).batches(None))


async def test_a_server_that_goes_away_is_told_and_read_again_once_it_is_back(devices, port):
    reader = source(port)
    async with server(devices, port):
        batches = reader.batches(None)
        await take(batches, 2)
    with pytest.raises(SourceError, match=r"lost|answers"):
        await take(batches, 2)
    devices[1].words[2] = 2
    fresh = {unit: Device(unit) for unit in (1, 2)}
    fresh[1].words[2] = 2
    async with server(fresh, port):
        batches = reader.batches(None)
        (sample,) = await take(batches, 1)
        await batches.aclose()
    assert sample.engine == "E-1"


async def test_flags_and_numbers_of_all_four_tables_are_read(port):
    tables = (
        [SimData(3, values=[True], datatype=DataType.BITS)],
        [SimData(5, values=[False, True], datatype=DataType.BITS)],
        [SimData(7, values=11, datatype=DataType.REGISTERS)],
        [SimData(7, values=22, datatype=DataType.REGISTERS)],
    )
    channels = {
        "flying": {"table": "coil", "address": 3},
        "ground": {"table": "discrete", "address": 5},
        "cruise": {"table": "discrete", "address": 6},
        "T24": {"table": "holding", "address": 7},
        "T30": {"table": "input", "address": 7},
    }
    async with serving(ModbusTcpServer(SimDevice(1, tables), address=("127.0.0.1", port))):
        settings = ModbusTcpSource(host="127.0.0.1", port=port, registers={"channels": channels})
        batches = ModbusDevices(settings, {1: "E-1"}, lambda: NOW).batches(None)
        (sample,) = await take(batches, 1)
        await batches.aclose()
    assert sample.channels == {"flying": 1, "ground": 0, "cruise": 1, "T24": 11, "T30": 22}


@asynccontextmanager
async def answering_late(devices, port):
    """A server that numbers its answers rightly however late they are, which the library's own does not."""
    answers = set()

    async def answer(writer, transaction, unit, start, count):
        await asyncio.sleep(devices[unit].delay_s)
        words = b"".join(word.to_bytes(2) for word in devices[unit].words[start : start + count])
        writer.write(struct.pack(">HHHBBB", transaction, 0, 3 + len(words), unit, 3, len(words)) + words)

    async def serve(reader, writer):
        with suppress(asyncio.IncompleteReadError):
            while True:
                transaction, _, _, unit, _, start, count = struct.unpack(">HHHBBHH", await reader.readexactly(12))
                answers.add(asyncio.create_task(answer(writer, transaction, unit, start, count)))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", port):
        yield
        await asyncio.gather(*answers)


async def test_a_late_answer_over_tcp_is_not_taken_for_another(devices, port):
    devices[1].delay_s = 0.3
    async with answering_late(devices, port):
        batches = source(port).batches(None)
        samples = []
        for number in range(2, 9):
            samples += await take(batches, 1)
            devices[2].words[2:4] = [number, 100 * number]
        await batches.aclose()
    assert {sample.engine for sample in samples} == {"E-2"}
    assert [sample.channels["T24"] for sample in samples] == [642.40, *(float(number) for number in range(2, 8))]


def rtu(path, timeout_s, registers=MAP):
    settings = ModbusRtuSource(
        device=path, registers=registers, poll_interval_s=0.01, timeout_s=timeout_s, parity="none"
    )
    return ModbusDevices(settings, {1: "E-1", 2: "E-2"}, lambda: NOW)


async def test_devices_on_a_serial_line_are_read(devices, serial_line):
    on_the_line = [device.simulated for device in devices.values()]
    async with serving(ModbusSerialServer(on_the_line, port=str(serial_line.far))):
        batches = rtu(serial_line.near, 3.0).batches(None)
        first, second = await take(batches, 2)
        await batches.aclose()
    assert (first.engine, second.engine, first.channels["T24"]) == ("E-1", "E-2", 642.40)


async def test_a_late_answer_on_a_serial_line_is_not_taken_for_that_to_the_next_request(devices, serial_line):
    two_requests = RegisterMap.model_validate({"channels": {"T24": {"address": 3}, "phi": {"address": 9}}})
    devices[1].delays_s = {9: [0.45], 3: [0.0, 0.25]}
    on_the_line = [device.simulated for device in devices.values()]
    async with serving(ModbusSerialServer(on_the_line, port=str(serial_line.far))):
        batches = rtu(serial_line.near, 0.3, two_requests).batches(None)
        samples = []
        while "E-1" not in {sample.engine for sample in samples}:
            samples += await take(batches, 1)
        await batches.aclose()
    assert samples[0].engine == "E-2"
    assert {tuple(sample.channels.values()) for sample in samples} == {(64_240, 0x8000)}


async def test_a_serial_line_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SourceError, match="line0 cannot be opened"):
        await anext(rtu(tmp_path / "line0", 0.2).batches(None))


async def test_a_serial_line_that_takes_no_such_setting_is_named(stubborn_line):
    with pytest.raises(SourceError, match=f"{stubborn_line.near} cannot be opened: .*Invalid argument"):
        await anext(rtu(stubborn_line.near, 0.2).batches(None))
