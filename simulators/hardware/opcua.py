"""An OPC UA server with one folder of nodes per engine, dated by each device's own clock."""

import logging
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from asyncua import Server, ua

from edge_agent.opcua_settings import NodeMap
from shared.cmapss import CHANNELS
from simulators.centre import LOOPBACK
from simulators.hardware.engine import EngineHardware, Shown

NAMESPACE = "urn:spoolwatch:simulated-hardware"
_INDEX = 2
_CYCLE = "cycle"

logging.getLogger("asyncua").setLevel(logging.ERROR)  # that it has no security is meant


def node_map() -> NodeMap:
    """The node of each channel and of the cycle counter."""
    return NodeMap(
        cycle=f"nsu={NAMESPACE};s={{engine}}.{_CYCLE}",
        channels={name: f"nsu={NAMESPACE};s={{engine}}.{name}" for name in CHANNELS},
    )


class OpcUaHardware:
    """The nodes of all engines."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def add(self, engine: EngineHardware) -> None:
        """Make the nodes of an engine, which have no value yet."""
        folder = await self._server.nodes.objects.add_folder(_node_id(engine.serial), f"{_INDEX}:{engine.serial}")
        for name in (_CYCLE, *CHANNELS):
            kind = ua.VariantType.UInt32 if name == _CYCLE else ua.VariantType.Double
            node_id = _node_id(f"{engine.serial}.{name}")
            await folder.add_variable(node_id, f"{_INDEX}:{name}", ua.Variant(0, kind))
            await self._server.write_attribute_value(
                node_id, ua.DataValue(StatusCode=ua.StatusCode(ua.StatusCodes.BadWaitingForInitialData))
            )

    async def show(self, samples: Sequence[Shown]) -> None:
        """Show samples from now on."""
        for shown in samples:
            serial, sampled = shown.engine.serial, shown.sampled
            cycle = ua.Variant(sampled.cycle, ua.VariantType.UInt32)
            await self._write(f"{serial}.{_CYCLE}", ua.DataValue(cycle, SourceTimestamp=shown.at))
            for name, value in zip(CHANNELS, sampled.values, strict=True):
                await self._write(f"{serial}.{name}", _data_value(shown, value))

    async def _write(self, name: str, value: ua.DataValue) -> None:
        await self._server.write_attribute_value(_node_id(name), value)


def _data_value(shown: Shown, value: float) -> ua.DataValue:
    if math.isnan(value):
        bad = ua.StatusCode(ua.StatusCodes.BadSensorFailure)
        return ua.DataValue(StatusCode=bad, SourceTimestamp=shown.at)
    return ua.DataValue(ua.Variant(value, ua.VariantType.Double), SourceTimestamp=shown.at)


def _node_id(name: str) -> ua.NodeId:
    return ua.NodeId(name, _INDEX)


@asynccontextmanager
async def opcua_server(engines: Sequence[EngineHardware], port: int) -> AsyncIterator[OpcUaHardware]:
    """Serve the nodes of all engines on a loopback port."""
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://{LOOPBACK}:{port}")
    server.set_server_name("Spoolwatch simulated hardware")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    await server.register_namespace(NAMESPACE)
    hardware = OpcUaHardware(server)
    for engine in engines:
        await hardware.add(engine)
    async with server:
        yield hardware
