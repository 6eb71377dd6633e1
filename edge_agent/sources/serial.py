"""Readings as lines of JSON from a serial line; what it says while nobody reads is lost."""

import asyncio
import termios
from collections.abc import AsyncGenerator, Callable, Collection
from datetime import datetime

import serial

from edge_agent.ports import Batch
from edge_agent.serial_settings import PARITIES, SerialSource
from edge_agent.sources.lines import JsonLines
from edge_agent.sources.readings import JsonReadings
from shared.errors import SourceError


class SerialLines:
    """Reads lines from one serial line.

    Args:
        settings: where it is and what it gives.
        engines: serials of this gateway's engines; readings of others are refused.
        now: the clock that dates samples without a time.
    """

    kind = "serial"

    def __init__(self, settings: SerialSource, engines: Collection[str], now: Callable[[], datetime]) -> None:
        self._settings = settings
        self._readings = JsonReadings(settings.gives, engines, now)

    async def batches(self, cursor: str | None) -> AsyncGenerator[Batch, None]:
        """See ``SensorSource.batches``; a line has no place to go back to, so there is no cursor."""
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), self._opened()
        )
        lines = JsonLines(stream, str(self._settings.device), self._readings)
        try:
            while True:
                yield await lines.next_batch()
        finally:
            transport.close()

    def accepted(self, batch: Batch) -> None:
        """A line cannot wait for us; there is nothing to acknowledge."""

    def _opened(self) -> serial.Serial:
        settings = self._settings
        try:
            return serial.Serial(
                str(settings.device),
                settings.baud_rate,
                parity=PARITIES[settings.parity],
                stopbits=settings.stop_bits,
                exclusive=True,  # another reader would take half of each line
            )
        except (OSError, ValueError, termios.error) as error:  # of the last, a setting that the line does not take
            raise SourceError(f"{settings.device} cannot be opened: {error}") from error
