"""Readings as lines of JSON from a TCP server beside the engine; what it says while nobody is connected is lost."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Collection
from datetime import datetime

from edge_agent.ports import Batch
from edge_agent.settings import TcpSource
from edge_agent.sources.lines import JsonLines
from edge_agent.sources.readings import JsonReadings
from shared.errors import SourceError

CONNECT_TIMEOUT_S = 5.0
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
        lines = JsonLines(reader, self._name, self._readings)
        try:
            while True:
                yield await lines.next_batch()
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
