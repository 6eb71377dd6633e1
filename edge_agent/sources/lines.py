"""Cuts a stream of bytes into lines of JSON; what is no line of usable length is set aside with its reason."""

import asyncio

from edge_agent.ports import Batch, RefusedRow
from edge_agent.sources.readings import JsonReadings
from shared.errors import SourceError

IDLE_S = 0.5
READ_BYTES = 64 * 1024
LINE_MAX_BYTES = 64 * 1024


class JsonLines:
    """Readings as lines of JSON from a stream, whatever carries it.

    Args:
        stream: where they come from.
        name: what people call that.
        readings: decodes a line.
    """

    def __init__(self, stream: asyncio.StreamReader, name: str, readings: JsonReadings) -> None:
        self._stream = stream
        self._name = name
        self._readings = readings
        self._buffer = LineBuffer()

    async def next_batch(self) -> Batch:
        """What has come, or nothing after ``IDLE_S``.

        Raises:
            SourceError: the stream has ended, and what it left has been given.
        """
        try:
            async with asyncio.timeout(IDLE_S) as silence:
                received = await self._stream.read(READ_BYTES)
        except OSError as error:  # a peer that lost its power is a TimeoutError of the stream's own
            if silence.expired():
                return Batch()
            raise SourceError(f"{self._name}: {error.strerror or error}") from error
        if received:
            return Batch(
                [
                    line if isinstance(line, RefusedRow) else self._readings.read(line)
                    for line in self._buffer.take(received)
                ]
            )
        if rest := self._buffer.end():
            return Batch([*rest])
        raise SourceError(f"{self._name} has closed the connection")


class LineBuffer:
    """The end of a stream whose line is not complete yet; some 64 KiB at most."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_skipping = False

    def take(self, received: bytes) -> list[bytes | RefusedRow]:
        """The lines that are complete now, without their ends and without empty ones."""
        *lines, self._rest = (self._rest + received).split(b"\n")
        found: list[bytes | RefusedRow] = []
        for line in lines:
            if self._is_skipping:
                self._is_skipping = False
            elif len(line) > LINE_MAX_BYTES:
                found.append(_too_long(line))
            elif stripped := line.strip():
                found.append(stripped)
        if len(self._rest) > LINE_MAX_BYTES:
            if not self._is_skipping:
                found.append(_too_long(self._rest))
            self._is_skipping, self._rest = True, b""
        return found

    def end(self) -> list[RefusedRow]:
        """What is left when the stream ends: half a line is nothing that could be trusted."""
        rest, self._rest = self._rest.strip(), b""
        is_told, self._is_skipping = self._is_skipping, False
        return [] if is_told or not rest else [RefusedRow(rest, "the connection ended within this line")]


def _too_long(line: bytes) -> RefusedRow:
    return RefusedRow(line[:LINE_MAX_BYTES], f"a line of more than {LINE_MAX_BYTES} bytes; this is its beginning")
