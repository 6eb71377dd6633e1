"""Samples as JSON, one a line over TCP or one a message to an MQTT broker: all channels of an engine at one moment."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from edge_agent.mqtt import Connected, Disconnected, LinkOptions, MqttLink, Outgoing
from shared.cmapss import CHANNELS
from shared.errors import SpoolwatchError
from simulators.centre import LOOPBACK
from simulators.hardware.engine import Shown

TOPIC = "rig/samples"
SETUP_TIMEOUT_S = 20.0
UNREAD_MAX_BYTES = 2**20


def encoded(shown: Shown) -> bytes:
    """One sample as JSON, null where a sensor gives nothing."""
    values = zip(CHANNELS, shown.sampled.values, strict=True)
    return msgspec.json.encode(
        {
            "engine": shown.engine.serial,
            "cycle": shown.sampled.cycle,
            "observed_at": shown.at,
            "channels": {name: None if math.isnan(value) else value for name, value in values},
        }
    )


class LineHardware:
    """Sends every line to whoever is connected; who does not read is thrown out."""

    def __init__(self) -> None:
        self._readers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep one connection until its other end closes it."""
        self._readers.add(writer)
        try:
            while await reader.read(1024):
                pass
        except OSError:
            pass
        finally:
            self._readers.discard(writer)
            writer.close()

    async def show(self, samples: Sequence[Shown]) -> None:
        """Send samples."""
        lines = b"".join(encoded(shown) + b"\n" for shown in samples)
        for writer in list(self._readers):
            if writer.transport.get_write_buffer_size() > UNREAD_MAX_BYTES:
                writer.transport.abort()
            else:
                writer.write(lines)


@asynccontextmanager
async def line_server(port: int) -> AsyncIterator[LineHardware]:
    """Serve lines on a loopback port."""
    hardware = LineHardware()
    server = await asyncio.start_server(hardware.serve, LOOPBACK, port)
    async with server:
        yield hardware


class MqttHardware:
    """Publishes every sample; what it publishes while it is not connected is lost, as with simple hardware."""

    def __init__(self, link: MqttLink) -> None:
        self._link = link

    async def show(self, samples: Sequence[Shown]) -> None:
        """Publish samples."""
        while not self._link.events.empty():
            self._link.events.get_nowait()
        for shown in samples:
            self._link.publish(Outgoing(TOPIC, encoded(shown)))


@asynccontextmanager
async def mqtt_publisher(port: int) -> AsyncIterator[MqttHardware]:
    """Publish to the broker that can be reached through a loopback port.

    Raises:
        SpoolwatchError: there is none.
    """
    link = MqttLink(LinkOptions(host=LOOPBACK, port=port, client_id="simulated-hardware", version=3))
    link.open()
    try:
        async with asyncio.timeout(SETUP_TIMEOUT_S):
            event = await link.events.get()
        if not isinstance(event, Connected):
            reason = event.reason if isinstance(event, Disconnected) else "no broker"
            raise SpoolwatchError(f"the broker cannot be reached: {reason}; start one, or name its --broker-port")
        yield MqttHardware(link)
    finally:
        await link.close()
