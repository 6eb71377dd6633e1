"""The engines of a C-MAPSS file, checked, each with its rows from the first cycle on."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shared.cmapss import CHANNELS, CmapssRow, open_lines, parse_line
from shared.errors import RowError

if TYPE_CHECKING:
    from pandas import DataFrame
    from pandera.pandas import DataFrameSchema

COLUMNS = ("unit", "cycle", *CHANNELS)


@dataclass(frozen=True, slots=True)
class Life:
    """One engine: its rows from its first cycle on, shape (cycles, 24), columns as ``CHANNELS``."""

    unit: int
    values: NDArray[np.float64]

    @property
    def cycles(self) -> NDArray[np.int64]:
        """The cycle of each row, from 1."""
        return np.arange(1, len(self.values) + 1)

    @property
    def rul_cycles(self) -> NDArray[np.int64]:
        """The true RUL after each row of an engine whose last row is its failure, as in the training files."""
        return np.arange(len(self.values))[::-1]


def read_lives(path: Path) -> list[Life]:
    """Read and check a ``.txt`` or ``.txt.gz`` file, engine by engine.

    Raises:
        RowError: names file, line and column. A row has not 26 finite numbers, units are not 1, 2, 3, … or cycles
            not 1, 2, 3, … within a unit; or the file cannot be read.
    """
    frame = _frame(path)
    _check(path, frame)
    starts = np.flatnonzero(frame["cycle"] == 1)
    values = np.ascontiguousarray(frame[list(CHANNELS)])
    return [Life(unit, life) for unit, life in enumerate(np.split(values, starts[1:]), start=1)]


def text_sha256(path: Path) -> str:
    """The sha256 of a file's uncompressed text, as published with the data set."""
    content = path.read_bytes()
    return hashlib.sha256(gzip.decompress(content) if path.suffix == ".gz" else content).hexdigest()


def _frame(path: Path) -> "DataFrame":
    from pandas import DataFrame

    rows: list[CmapssRow] = []
    for number, line in enumerate(open_lines(path), start=1):
        try:
            rows.append(parse_line(line))
        except RowError as error:
            raise RowError(f"{path} line {number}: {error}") from error
    if not rows:
        raise RowError(f"{path}: the file is empty")
    frame = DataFrame([row.values for row in rows], columns=CHANNELS)
    frame.insert(0, "unit", [row.unit for row in rows])
    frame.insert(1, "cycle", [row.cycle for row in rows])
    return frame


@cache
def _schema() -> "DataFrameSchema":
    """What a whole file must be; ``parse_line`` has seen to each cell."""
    import pandera.pandas as pa

    one_by_one = pa.Check(lambda unit: unit.diff().fillna(unit).isin((0, 1)))
    channels = {name: pa.Column("float64", nullable=False) for name in CHANNELS}
    return pa.DataFrameSchema(
        {"unit": pa.Column("int64", one_by_one), "cycle": pa.Column("int64"), **channels},
        checks=pa.Check(lambda frame: frame["cycle"] == _expected_cycles(frame), name="cycle"),
        strict=True,
        ordered=True,
    )


def _check(path: Path, frame: "DataFrame") -> None:
    from pandera.errors import SchemaErrors

    try:
        _schema().validate(frame, lazy=True)
    except SchemaErrors as error:
        found = error.failure_cases
        # A check of whole rows is reported once per column; this one is about the cycle.
        found = found[(found["check"] != "cycle") | (found["column"] == "cycle")]
        row, column = min(
            (int(row), COLUMNS.index(name)) for row, name in zip(found["index"], found["column"], strict=True)
        )
        raise RowError(
            f"{path} line {row + 1}: column {column + 1} ({COLUMNS[column]}): {_reason(frame, row, COLUMNS[column])}"
        ) from error


def _reason(frame: "DataFrame", row: int, column: str) -> str:
    unit, cycle = (int(frame[name].iloc[row]) for name in ("unit", "cycle"))
    if column == "unit":
        before = f"after unit {frame['unit'].iloc[row - 1]}" if row else "in the first line"
        return f"{unit} {before}; units must be 1, 2, 3, … in order"
    if column == "cycle":
        return f"{cycle} where cycle {_expected_cycles(frame)[row]} of unit {unit} was expected"
    return "the value is missing (nan)"


def _expected_cycles(frame: "DataFrame") -> NDArray[np.int64]:
    expected: NDArray[np.int64] = frame.groupby("unit").cumcount().to_numpy() + 1
    return expected
