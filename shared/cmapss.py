"""Reads and writes rows of the C-MAPSS turbofan data: one line per engine and cycle, 26 columns.

Columns and units follow table 2 of A. Saxena et al., "Damage Propagation Modeling for Aircraft Engine
Run-to-Failure Simulation", PHM08.
"""

import gzip
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from shared.errors import RowError
from shared.messages import CYCLE_MAX


class _Channel(NamedTuple):
    name: str
    unit: str
    decimals: int


_TABLE = (
    _Channel("altitude", "kft", 4),
    _Channel("Mach", "1", 4),
    _Channel("TRA", "1", 1),
    _Channel("T2", "°R", 2),
    _Channel("T24", "°R", 2),
    _Channel("T30", "°R", 2),
    _Channel("T50", "°R", 2),
    _Channel("P2", "psia", 2),
    _Channel("P15", "psia", 2),
    _Channel("P30", "psia", 2),
    _Channel("Nf", "rpm", 2),
    _Channel("Nc", "rpm", 2),
    _Channel("epr", "1", 2),
    _Channel("Ps30", "psia", 2),
    _Channel("phi", "pps/psi", 2),
    _Channel("NRf", "rpm", 2),
    _Channel("NRc", "rpm", 2),
    _Channel("BPR", "1", 4),
    _Channel("farB", "1", 2),
    _Channel("htBleed", "1", 0),
    _Channel("Nf_dmd", "rpm", 0),
    _Channel("PCNfR_dmd", "%", 2),
    _Channel("W31", "lbm/s", 2),
    _Channel("W32", "lbm/s", 4),
)

SUBSETS = ("FD001", "FD002", "FD003", "FD004")
CHANNELS: tuple[str, ...] = tuple(channel.name for channel in _TABLE)
UNITS: dict[str, str] = {channel.name: channel.unit for channel in _TABLE}
DECIMALS: dict[str, int] = {channel.name: channel.decimals for channel in _TABLE}

_COLUMNS = ("unit", "cycle", *CHANNELS)
_COUNTER_DIGITS = len(str(CYCLE_MAX))
_SHOWN_CHARS = 40


class CmapssRow(NamedTuple):
    """One line of a C-MAPSS file; ``values`` are in the order of ``CHANNELS``, NaN where the file has none."""

    unit: int
    cycle: int
    values: tuple[float, ...]


def parse_line(line: str) -> CmapssRow:
    """Read one line.

    Raises:
        RowError: names the column (from 1) and what is wrong with it; NaN channels are let through.

    >>> parse_line(cmapss_line(7, 31, [0.5] * 24)).cycle
    31
    """
    fields = line.split()
    if len(fields) != len(_COLUMNS):
        raise RowError(f"{len(fields)} columns instead of {len(_COLUMNS)} (unit, cycle, 3 settings, 21 sensors)")
    unit, cycle = (_counter(column, fields[column]) for column in (0, 1))
    return CmapssRow(unit, cycle, tuple(_number(column, fields[column]) for column in range(2, len(fields))))


def cmapss_line(unit: int, cycle: int, values: Sequence[float]) -> str:
    """Write one row as in the data files, decimals and trailing spaces included, without the line feed."""
    cells = (f"{value:.{channel.decimals}f}" for channel, value in zip(_TABLE, values, strict=True))
    return f"{unit} {cycle} {' '.join(cells)}  "


def open_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a ``.txt`` or ``.txt.gz`` file.

    Raises:
        RowError: the file cannot be read, is not gzip though its name says so, or is cut off.
    """
    try:
        with gzip.open(path, "rt", encoding="ascii") if path.suffix == ".gz" else path.open(encoding="ascii") as file:
            yield from file
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise RowError(f"{path}: cannot be read as C-MAPSS text: {error}") from error


def _counter(column: int, text: str) -> int:
    # The length comes first: Python refuses to convert thousands of digits.
    if not text.isdecimal() or len(text) > _COUNTER_DIGITS or not 1 <= int(text) <= CYCLE_MAX:
        raise RowError(f"{_place(column, text)} is not a whole number from 1 to {CYCLE_MAX}")
    return int(text)


def _number(column: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise RowError(f"{_place(column, text)} is not a number") from None
    if math.isinf(value):
        raise RowError(f"{_place(column, text)} is not finite")
    return value


def _place(column: int, text: str) -> str:
    shown = repr(text) if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]!r}… ({len(text)} characters)"
    return f"column {column + 1} ({_COLUMNS[column]}): {shown}"
