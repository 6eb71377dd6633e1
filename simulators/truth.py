"""The simulator's own account of what it emitted: JSON lines, one per engine and cycle, written and read here."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import msgspec

from shared.errors import SpoolwatchError


class TruthRow(msgspec.Struct, frozen=True):
    """One emitted row; ``rul_cycles`` is the true remaining useful life, None where nobody knows it."""

    engine: str
    cycle: int
    rul_cycles: int | None
    emitted_at: datetime


T = TypeVar("T")


class TruthFile(Generic[T]):
    """Appends to the account; each call is on its way to the disk when it returns."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def append(self, rows: Iterable[T]) -> None:
        """Write rows down."""
        self._file.write(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def read_truth(path: Path) -> list[TruthRow]:
    """Read the account back.

    Raises:
        SpoolwatchError: there is none, or a line is damaged; names the line.
    """
    return read_account(path, TruthRow)


def read_account(path: Path, kind: Any) -> list[Any]:
    """Read lines of one kind, or of a union of kinds.

    Raises:
        SpoolwatchError: there is no file, or a line is damaged; names the line.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise SpoolwatchError(f"cannot read the simulator's truth {path}: {error.strerror}") from error
    return [_line(path, number, line, kind) for number, line in enumerate(lines, start=1)]


def _line(path: Path, number: int, line: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(line, type=kind)
    except msgspec.DecodeError as error:
        raise SpoolwatchError(f"{path} line {number} is damaged: {error}") from error
