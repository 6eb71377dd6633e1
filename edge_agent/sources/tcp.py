"""Readings as lines of JSON from a TCP server beside the engine; what it says while nobody is connected is lost."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Collection
from datetime import datetime

from edge_agent.ports import Batch, RefusedRow
from edge_agent.settings import TcpSource
from edge_agent.sources.lines import LineBuffer
from edge_agent.sources.readings import JsonReadings
from shared.errors import SourceError

IDLE_S = 0.5
CONNECT_TIMEOUT_S = 5.0
READ_BYTES = 64 * 1024
# A peer that has lost its power says nothing; its silence is noticed after 25 s.
_KEEPALIVE = {socket.TCP_KEEPIDLE: 10, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3}


class TcpLines:
    """Reads lines from one server.

    Args:
        settings: where it is and what it gives.
        engines: serials of this gateway's engines; readings of others are refused.
        now: the clock that dates samples without a time.
    """

    kind = "tcp"

    def __init__(self, settings: TcpSource, engines: Collection[str], now: Callable[[], datetime]) -> None:
        self._settings = settings
        self._readings = JsonReadings(settings.gives, engines, now)
        self._name = f"{settings.host}:{settings.port}"

    async def batches(self, cursor: str | None) -> AsyncGenerator[Batch, None]:
        """See ``SensorSource.batches``; a stream has no place to go back to, so there is no cursor."""
        reader, writer = await self._connect()
        buffer = LineBuffer()
        try:
            while True:
                try:
                    async with asyncio.timeout(IDLE_S):
                        received = await reader.read(READ_BYTES)
                except TimeoutError:
                    yield Batch()
                    continue
                except OSError as error:
                    raise SourceError(f"{self._name}: {error.strerror or error}") from error
                if not received:
                    if rest := buffer.end():
                        yield Batch([*rest])
                    raise SourceError(f"{self._name} has closed the connection")
                yield Batch(
                    [
                        line if isinstance(line, RefusedRow) else self._readings.read(line)
                        for line in buffer.take(received)
                    ]
                )
        finally:
            writer.close()

    def accepted(self, batch: Batch) -> None:
        """A stream cannot wait for us; there is nothing to acknowledge."""

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self._settings.host, self._settings.port
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(host, port)
        except TimeoutError as error:
            raise SourceError(f"{self._name} does not answer within {CONNECT_TIMEOUT_S:g} s") from error
        except OSError as error:
            raise SourceError(f"{self._name} cannot be reached: {error.strerror or error}") from error
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE.items():
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
        return reader, writer
