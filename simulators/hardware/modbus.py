"""A Modbus TCP server with one device per engine, and the register map of these devices."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from edge_agent.modbus_settings import Register, RegisterMap
from edge_agent.sources.registers import words
from shared.cmapss import CHANNELS, DECIMALS, UNITS
from simulators.centre import LOOPBACK
from simulators.hardware.engine import EngineHardware, Shown

# As in the wild: what one maker writes as a scaled integer is a float of swapped words to another.
_FLOATS = ("altitude", "Mach", "epr", "BPR", "farB")
_SHORT = {"TRA": 0.01, "htBleed": 0.01, "Nf_dmd": 1.0, "PCNfR_dmd": 0.01}


def register_map() -> RegisterMap:
    """What lies where in each engine's device: 48 input registers in a row."""
    cycle, sample = (Register(address=address, type="uint32", table="input") for address in (0, 2))
    address = 4
    channels: dict[str, Register] = {}
    for name in CHANNELS:
        channels[name] = _register(name, address)
        address += channels[name].words
    return RegisterMap(cycle=cycle, sample=sample, channels=channels)


def _register(name: str, address: int) -> Register:
    shared: dict[str, Any] = {"address": address, "table": "input", "unit": UNITS[name]}
    if name in _FLOATS:
        return Register(type="float32", word_order="little", **shared)
    if name in _SHORT:
        return Register(type="uint16", scale=_SHORT[name], missing=2**16 - 1, **shared)
    return Register(type="int32", scale=10.0 ** -(DECIMALS[name] + 1), missing=-(2**31), **shared)


class ModbusDevice:
    """The registers of one engine's device; a read gives those of one sample, never of two."""

    def __init__(self, engine: EngineHardware, registers: RegisterMap) -> None:
        # In the order of ``show``.
        self._registers = [one for one in (registers.cycle, registers.sample) if one] + [*registers.channels.values()]
        last = max(register.address + register.words for register in self._registers)
        self._words = [0] * last
        self.device = SimDevice(engine.unit, [SimData(0, last, 0, datatype=DataType.REGISTERS)], action=self._give)

    def show(self, shown: Shown) -> None:
        """Show a sample from now on."""
        sampled = shown.sampled
        numbers = (sampled.cycle, sampled.number, *sampled.values)
        for register, value in zip(self._registers, numbers, strict=True):
            self._words[register.address : register.address + register.words] = words(register, value)

    async def _give(
        self, _function: int, _start: int, _address: int, _count: int, registers: list[int], _values: object
    ) -> None:
        registers[: len(self._words)] = self._words


class ModbusHardware:
    """All devices behind one server."""

    def __init__(self, engines: Sequence[EngineHardware]) -> None:
        registers = register_map()
        self.devices = {engine.unit: ModbusDevice(engine, registers) for engine in engines}

    async def show(self, samples: Sequence[Shown]) -> None:
        """Show samples from now on."""
        for shown in samples:
            self.devices[shown.engine.unit].show(shown)


@asynccontextmanager
async def modbus_server(engines: Sequence[EngineHardware], port: int) -> AsyncIterator[ModbusHardware]:
    """Serve the devices of all engines on a loopback port, each under its unit number."""
    hardware = ModbusHardware(engines)
    server = ModbusTcpServer([each.device for each in hardware.devices.values()], address=(LOOPBACK, port))
    await server.serve_forever(background=True)
    try:
        yield hardware
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus leaves it untyped
