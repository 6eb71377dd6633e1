"""The engines that a play is about: simulated ones, or those recorded in a C-MAPSS file.

First step of a play: each engine brings its rows, the truth about them, and how many it has behind it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.cmapss import CmapssRow, cmapss_line, open_lines, parse_line
from shared.errors import RowError, SpoolwatchError, TopicError
from shared.topics import check_level
from simulators.engine_model import SimulatedEngine

LAST_CYCLES = 5
MOST_CYCLES = 160


@dataclass(frozen=True, slots=True)
class PlayedRow:
    """One cycle of one engine as its data logger writes it; ``rul_cycles`` is the truth, None where unknown."""

    cycle: int
    line: str
    rul_cycles: int | None


@dataclass(frozen=True, slots=True)
class PlayedEngine:
    """One engine to play.

    Attributes:
        serial: its serial number.
        unit: the number its lines carry.
        rows: its whole life or recording, in order, read once.
        past_rows: how many of the rows its data logger holds already when the play starts.
    """

    serial: str
    unit: int
    rows: Iterator[PlayedRow]
    past_rows: int = 0


def simulated_fleet(count: int, seed: int, prefix: str = "E", subset: str = "FD001") -> list[PlayedEngine]:
    """Make engines that fail, spread evenly from nearly worn out to nearly new, so that every health band shows.

    Args:
        count: how many.
        seed: the same seed gives the same engines at the same ages.
        prefix: what their serials start with.
        subset: the type of engine, of ``shared.cmapss.SUBSETS``.
    """
    generator = np.random.default_rng([seed, count])
    remaining_cycles = (generator.permutation(count) + generator.random(count)) * MOST_CYCLES / count
    width = max(2, len(str(count)))
    return [
        _simulated(
            SimulatedEngine(f"{prefix}-{unit:0{width}d}", seed, subset=subset), unit, max(LAST_CYCLES, int(left))
        )
        for unit, left in enumerate(remaining_cycles, start=1)
    ]


def _simulated(engine: SimulatedEngine, unit: int, remaining_cycles: int) -> PlayedEngine:
    rows = (
        PlayedRow(cycle, cmapss_line(unit, cycle, values), int(rul_cycles))
        for cycle, values, rul_cycles in engine.rows()
    )
    return PlayedEngine(engine.serial, unit, rows, max(0, engine.life_cycles - remaining_cycles))


def recorded_engines(
    path: Path, units: frozenset[int] | None, limit: int | None, prefix: str | None = None
) -> list[PlayedEngine]:
    """Read the engines of a C-MAPSS file (.txt or .txt.gz).

    In a file whose name starts with ``train`` every engine's last cycle is its failure, so its truth is known.

    Args:
        path: the file.
        units: play only these; None plays all.
        limit: play at most so many, the first of the file.
        prefix: what their serials start with; the file's name, if not given.

    Raises:
        SpoolwatchError: the file cannot be read, a line is wrong, a unit is not in it, or its name makes no serials.
    """
    recorded = _read(path)
    missing = sorted((units or frozenset()) - recorded.keys())
    if missing:
        raise SpoolwatchError(f"{path} has no unit {', '.join(map(str, missing))}; it has 1 to {max(recorded)}")
    chosen = [unit for unit in recorded if units is None or unit in units][:limit]
    stem = path.name.removesuffix(".gz").removesuffix(".txt")
    try:
        check_level(f"{prefix or stem}-000")
    except TopicError as error:
        raise SpoolwatchError(f"the name of {path} makes no serials ({error}); choose another with --prefix") from error
    return [
        _recorded(f"{prefix or stem}-{unit:03d}", unit, recorded[unit], stem.startswith("train")) for unit in chosen
    ]


def _read(path: Path) -> dict[int, list[tuple[CmapssRow, str]]]:
    recorded: dict[int, list[tuple[CmapssRow, str]]] = {}
    for number, line in enumerate(open_lines(path), start=1):
        try:
            row = parse_line(line)
        except RowError as error:
            raise SpoolwatchError(f"{path} line {number}: {error}") from error
        recorded.setdefault(row.unit, []).append((row, line.rstrip("\n")))
    if not recorded:
        raise SpoolwatchError(f"{path}: the file is empty")
    return recorded


def _recorded(serial: str, unit: int, lines: list[tuple[CmapssRow, str]], to_failure: bool) -> PlayedEngine:
    last_cycle = lines[-1][0].cycle
    rows = (PlayedRow(row.cycle, line, last_cycle - row.cycle if to_failure else None) for row, line in lines)
    return PlayedEngine(serial, unit, rows)
