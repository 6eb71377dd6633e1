"""Rows from a C-MAPSS file, read once or followed as it grows; its cursor is the place behind the last row."""

import asyncio
import gzip
import hashlib
import os
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import BinaryIO, cast

import msgspec
import structlog

from edge_agent.ports import Batch, RefusedRow
from edge_agent.settings import FileSource
from shared.cmapss import CHANNELS, parse_line
from shared.errors import RowError, SourceError
from shared.rows import SensorRow

BATCH_ROWS = 64
IDLE_S = 1.0
LINE_MAX_BYTES = 64 * 1024

log = structlog.get_logger(__name__)


class _Cursor(msgspec.Struct, frozen=True):
    """The place behind the last accepted row, and the file's first line to tell another file by."""

    first_line: str
    offset: int


class CmapssFile:
    """Reads C-MAPSS lines from a text or gzip file.

    Args:
        settings: which file and whether to follow it.
        engines: serial per unit number; rows of other units are refused.
        now: the clock that dates rows, for a file carries no times.
    """

    kind = "file"

    def __init__(self, settings: FileSource, engines: Mapping[int, str], now: Callable[[], datetime]) -> None:
        self._settings = settings
        self._engines = engines
        self._now = now

    async def batches(self, cursor: str | None) -> AsyncGenerator[Batch, None]:
        """See ``SensorSource.batches``."""
        with self._open() as file:
            place = self._resume(file, cursor)
            idle_s = 0.0
            while True:
                lines = self._complete_lines(file, place)
                if lines:
                    place = _advance(place, lines)
                    idle_s = 0.0
                    yield Batch([self._reading(line) for line in lines], msgspec.json.encode(place).decode())
                    continue
                if not self._settings.follow:
                    return
                self._check_not_replaced(file, place)
                await asyncio.sleep(self._settings.poll_interval_s)
                idle_s += self._settings.poll_interval_s
                if idle_s >= IDLE_S:
                    idle_s = 0.0
                    yield Batch()

    def accepted(self, batch: Batch) -> None:
        """A file keeps what it has; there is nothing to acknowledge."""

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        path = self._settings.path
        try:
            with path.open("rb") as raw:
                yield cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if path.suffix == ".gz" else raw
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(f"cannot read {path}: {error}") from error

    def _resume(self, file: BinaryIO, cursor: str | None) -> _Cursor:
        first_line = _fingerprint(file.readline(LINE_MAX_BYTES))
        place = _place(cursor)
        if place is not None and place.first_line == first_line and 0 <= place.offset <= file.seek(0, 2):
            return place
        return _Cursor(first_line=first_line, offset=0)

    def _complete_lines(self, file: BinaryIO, place: _Cursor) -> list[bytes]:
        """Up to a batch of lines; one still being written is left for later, unless nobody writes any more."""
        file.seek(place.offset)
        lines: list[bytes] = []
        while len(lines) < BATCH_ROWS and (line := file.readline(LINE_MAX_BYTES)):
            whole = line.endswith(b"\n") or len(line) == LINE_MAX_BYTES
            if not whole and self._settings.follow:
                break
            lines.append(line)
        return lines

    def _reading(self, line: bytes) -> SensorRow | RefusedRow:
        try:
            row = parse_line(line.decode("ascii"))
        except (RowError, UnicodeDecodeError) as error:
            return RefusedRow(line, str(error))
        engine = self._engines.get(row.unit)
        if engine is None:
            return RefusedRow(line, f"unit {row.unit} is none of this gateway's engines (setting engines)")
        return SensorRow(engine, row.cycle, self._now(), dict(zip(CHANNELS, row.values, strict=True)), line)

    def _check_not_replaced(self, file: BinaryIO, place: _Cursor) -> None:
        status = self._settings.path.stat()
        if status.st_size < place.offset or status.st_ino != os.fstat(file.fileno()).st_ino:
            raise SourceError(f"{self._settings.path} was replaced or cut short; it is opened again")


def _place(cursor: str | None) -> _Cursor | None:
    """A cursor that nobody can read is none: reading a file again costs nothing but time."""
    if cursor is None:
        return None
    try:
        return msgspec.json.decode(cursor, type=_Cursor)
    except msgspec.DecodeError as error:
        log.warning("cursor_lost", reason=f"{error}; the file is read from its start")
        return None


def _advance(place: _Cursor, lines: list[bytes]) -> _Cursor:
    first_line = place.first_line if place.offset else _fingerprint(lines[0])
    return _Cursor(first_line=first_line, offset=place.offset + sum(map(len, lines)))


def _fingerprint(line: bytes) -> str:
    return hashlib.blake2b(line, digest_size=8).hexdigest()
