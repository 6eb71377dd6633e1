"""Samples from the registers of Modbus devices, polled over TCP or a serial line; one sample per engine and poll."""

import asyncio
import logging
import math
import termios
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime

import structlog
from pymodbus import ModbusException
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient

from edge_agent.modbus_settings import BIT_TABLES, ModbusRtuSource, ModbusTcpSource
from edge_agent.ports import Batch
from edge_agent.seldom import Seldom
from edge_agent.serial_settings import PARITIES
from edge_agent.sources.registers import Block, blocks, numbers
from shared.errors import SourceError
from shared.rows import Sample

IDLE_S = 0.5
IN_REACH_S = 5.0
# The library would close the line to all devices once one of them has not answered a few times.
NEVER = 2**31
_CYCLE, _SAMPLE, _CHANNEL = "cycle", "sample", "channel "

Client = AsyncModbusTcpClient | AsyncModbusSerialClient

log = structlog.get_logger(__name__)
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # what fails is told here, once and with its reason


class _Silent(Exception):  # noqa: N818  # a device that does not answer is no defect of ours
    """A device gave no usable answer; the message says which and why."""


class ModbusDevices:
    """Polls the register map of every engine's device.

    A device that does not answer costs only its own engine a sample; the source has failed when none answers, or when
    the line to them is gone.

    Args:
        settings: the line and the register map.
        engines: serial per unit id.
        now: the clock that dates samples, for Modbus carries no times.
    """

    def __init__(
        self,
        settings: ModbusTcpSource | ModbusRtuSource,
        engines: Mapping[int, str],
        now: Callable[[], datetime],
    ) -> None:
        self.kind = settings.kind
        self._settings = settings
        self._engines = engines
        self._now = now
        registers = {_CHANNEL + name: register for name, register in settings.map.channels.items()}
        counters = {_CYCLE: settings.map.cycle, _SAMPLE: settings.map.sample}
        registers |= {name: register for name, register in counters.items() if register is not None}
        self._blocks = blocks(registers, settings.registers_per_request)
        self._last_sample: dict[int, float] = {}
        self._silence: dict[int, Seldom] = {unit: Seldom() for unit in engines}

    async def batches(self, cursor: str | None) -> AsyncGenerator[Batch, None]:
        """See ``SensorSource.batches``; registers hold only the present, so there is no cursor."""
        clock = asyncio.get_running_loop().time
        async with self._connected() as client:
            due_s = clock()
            while True:
                async for batch in self._poll(client):
                    yield batch
                due_s = max(due_s + self._settings.poll_interval_s, clock())
                while due_s - clock() > IDLE_S:
                    await asyncio.sleep(IDLE_S)
                    yield Batch()
                await asyncio.sleep(max(0.0, due_s - clock()))

    def accepted(self, batch: Batch) -> None:
        """Registers cannot wait for us; there is nothing to acknowledge."""

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Client]:
        client = self._client()
        client.set_max_no_responses(NEVER)
        try:
            try:
                connected = await client.connect()
            except (OSError, ValueError, termios.error) as error:  # a serial line that takes no such setting
                raise SourceError(f"{self._line} cannot be opened: {error}") from error
            if not connected:
                raise SourceError(f"{self._line} cannot be opened: is it right, connected and switched on?")
            yield client
        finally:
            client.close()

    def _client(self) -> Client:
        """A new client per connection, which neither connects nor asks again by itself: that is up to the pipeline."""
        match self._settings:
            case ModbusTcpSource(host=host, port=port, timeout_s=timeout_s):
                return AsyncModbusTcpClient(host, port=port, timeout=timeout_s, retries=0, reconnect_delay=0)
            case line:
                return AsyncModbusSerialClient(
                    str(line.device),
                    baudrate=line.baud_rate,
                    parity=PARITIES[line.parity],
                    stopbits=line.stop_bits,
                    timeout=line.timeout_s,
                    retries=0,
                    reconnect_delay=0,
                )

    @property
    def _line(self) -> str:
        match self._settings:
            case ModbusTcpSource(host=host, port=port):
                return f"Modbus at {host}:{port}"
            case line:
                return f"Modbus on {line.device}"

    async def _poll(self, client: Client) -> AsyncGenerator[Batch, None]:
        """Ask every device once; gives a batch after each of them, as soon as any has answered."""
        answered = False
        began_s = asyncio.get_running_loop().time()
        for unit, serial in self._engines.items():
            try:
                sample = await self._sample(client, unit, serial)
                answered = True
            except _Silent as silent:
                if not client.connected:
                    raise SourceError(f"{self._line} is lost ({silent})") from silent
                if not answered and asyncio.get_running_loop().time() - began_s > IN_REACH_S:
                    raise SourceError(f"{self._line}: no device answers ({silent})") from silent
                if self._silence[unit].due(str(silent)):
                    log.warning("engine_gives_no_sample", engine=serial, unit=unit, reason=str(silent))
                last, sample = silent, None
            if answered:
                yield Batch([] if sample is None else [sample])
        if not answered:
            raise SourceError(f"{self._line}: no device answers ({last})")

    async def _sample(self, client: Client, unit: int, serial: str) -> Sample | None:
        values: dict[str, float] = {}
        raw: list[int] = []
        for block in self._blocks:
            words = await _read(client, unit, block)
            values.update(numbers(block, words))
            raw += words
        counter = values.pop(_SAMPLE, None)
        if counter is not None and self._last_sample.get(unit) == counter:
            return None
        if counter is not None:
            self._last_sample[unit] = counter
        cycle = values.pop(_CYCLE, math.nan)
        return Sample(
            serial,
            self._now(),
            {name.removeprefix(_CHANNEL): value for name, value in values.items()},
            None if math.isnan(cycle) else round(cycle),
            b"".join(word.to_bytes(2) for word in raw),
        )


async def _read(client: Client, unit: int, block: Block) -> list[int]:
    """The words of a block, or bits; raises ``_Silent``."""
    readers = {
        "holding": client.read_holding_registers,
        "input": client.read_input_registers,
        "coil": client.read_coils,
        "discrete": client.read_discrete_inputs,
    }
    what = f"unit {unit}, {block.table} {block.address} to {block.address + block.count - 1}"
    try:
        answer = await readers[block.table](block.address, count=block.count, device_id=unit)
    except (ModbusException, OSError) as error:
        if isinstance(client, AsyncModbusSerialClient):
            # An answer that comes late must not be taken for that to the next request: a serial line numbers none.
            await asyncio.sleep(client.comm_params.timeout_connect or 0)
        raise _Silent(f"{what}: {error}") from error
    if answer.isError():
        raise _Silent(f"{what}: the device refuses with exception {answer.exception_code}")
    if block.table in BIT_TABLES:
        return [int(bit) for bit in answer.bits[: block.count]]
    if len(answer.registers) != block.count:
        raise _Silent(f"{what}: {len(answer.registers)} registers came instead of {block.count}")
    return list(answer.registers)
