"""The second key: which cycles of an engine have been recorded, as bits that one statement tests and sets.

It stands apart from the records, because PostgreSQL knows no unique key over partitions, and it outlives them.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, text

from aggregator.store.placements import Measured, Placed
from shared import messages

BLOCK_CYCLES = 63  # as many as a BIGINT has bits beside its sign


class TakenError(Exception):
    """Records are about what is recorded already, by an earlier record or by another replica at this moment."""


class Line(NamedTuple):
    """What records are about, but for the cycle. The last three are empty for telemetry."""

    engine_id: int
    installation_id: str
    model_id: int = 0
    origin: str = ""
    request_id: str = ""

    @classmethod
    def of(cls, one: Placed, record: Measured) -> "Line":
        """The line of one of the records of a place."""
        if isinstance(record, messages.Telemetry):
            return cls(one.place.engine_id, one.place.id)
        return cls(one.place.engine_id, one.place.id, one.model_id, record.origin, record.request_id or "")


_BLOCK = (*Line._fields, "block")
_KEY = ", ".join(_BLOCK)
_TYPES = ("int", "text", "int", "text", "text", "int", "bigint")
_VALUES = {
    "sqlite": [f"json_extract(value, '$[{place}]')" for place in range(len(_TYPES))],
    "postgresql": [f"(value->>{place})::{kind}" for place, kind in enumerate(_TYPES)],
}
_WANTED = {
    "sqlite": "json_each(:wanted) WHERE true",  # without a WHERE, SQLite would read ON CONFLICT as a join's ON
    "postgresql": "json_array_elements(CAST(:wanted AS json))",
}
# Two replicas that take the same cycle meet at its row: the second waits, and then finds the bit set.
_TAKE = {
    dialect: text(
        f"INSERT INTO taken_cycles ({_KEY}, cycles) SELECT {', '.join(values)} FROM {_WANTED[dialect]} "  # noqa: S608
        f"ON CONFLICT ({_KEY}) DO UPDATE SET cycles = taken_cycles.cycles | excluded.cycles "
        "WHERE (taken_cycles.cycles & excluded.cycles) = 0"
    )
    for dialect, values in _VALUES.items()
}
_FIND = {
    dialect: text(
        f"SELECT {_KEY}, cycles FROM taken_cycles "  # noqa: S608
        f"WHERE ({_KEY}) IN (SELECT {', '.join(values[:-1])} FROM {_WANTED[dialect]})"
    )
    for dialect, values in _VALUES.items()
}


class Taken:
    """What was taken so far of some lines."""

    def __init__(self, blocks: dict[tuple[Any, ...], int]) -> None:
        self._blocks = blocks

    def has(self, line: Line, cycle: int) -> bool:
        """Whether there is, or was, a record of this cycle."""
        block, bit = divmod(cycle, BLOCK_CYCLES)
        return bool(self._blocks.get((*line, block), 0) >> bit & 1)


def take_cycles(connection: Connection, placed: Iterable[Placed]) -> None:
    """Mark what these records are about as taken.

    Raises:
        TakenError: something of it is; the transaction is to be rolled back.
    """
    blocks: dict[tuple[Any, ...], int] = {}
    for block, bit in _cycles(placed):
        before = blocks.get(block, 0)
        if before & bit:
            raise TakenError("two records of one batch are about the same")
        blocks[block] = before | bit
    if blocks:
        _take(connection, blocks)


def take_cycle(connection: Connection, line: Line, cycle: int) -> None:
    """Mark what one record is about as taken.

    Raises:
        TakenError: it is; the transaction is to be rolled back.
    """
    block, bit = divmod(cycle, BLOCK_CYCLES)
    _take(connection, {(*line, block): 1 << bit})


def _take(connection: Connection, blocks: dict[tuple[Any, ...], int]) -> None:
    # In one order, or replicas that take the same blocks could wait for each other.
    wanted = [(*block, bits) for block, bits in sorted(blocks.items())]
    done = connection.execute(_TAKE[connection.dialect.name], {"wanted": msgspec.json.encode(wanted).decode()})
    if done.rowcount != len(wanted):
        raise TakenError("a record is about what is recorded already")


def find_taken(connection: Connection, placed: Iterable[Placed]) -> Taken:
    """Read what was taken of the cycles that these records are about."""
    wanted = {block for block, _ in _cycles(placed)}
    query = _FIND[connection.dialect.name]
    rows = connection.execute(query, {"wanted": msgspec.json.encode(list(wanted)).decode()})
    return Taken({tuple(row[:-1]): row[-1] for row in rows})


def _cycles(placed: Iterable[Placed]) -> Iterator[tuple[tuple[Any, ...], int]]:
    """Block and bit of each record."""
    for one in placed:
        line = Line(one.place.engine_id, one.place.id)
        for entry in one.entries:
            record: Any = entry.record
            if one.kind is messages.Prediction:
                line = Line.of(one, record)
            block, bit = divmod(record.cycle, BLOCK_CYCLES)
            yield (*line, block), 1 << bit
