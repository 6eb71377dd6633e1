"""Plans which Modbus registers are read in one request, and makes numbers of what comes back; no input or output."""

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edge_agent.modbus_settings import BIT_TABLES, NumberType, Register, Table

_FORMATS: dict[NumberType, str] = {
    "int16": ">h",
    "uint16": ">H",
    "int32": ">i",
    "uint32": ">I",
    "int64": ">q",
    "uint64": ">Q",
    "float32": ">f",
    "float64": ">d",
}


@dataclass(frozen=True, slots=True)
class Block:
    """Neighbouring registers of one table that one request reads."""

    table: Table
    address: int
    count: int
    fields: tuple[tuple[str, Register], ...]


def blocks(registers: Mapping[str, Register], most: int) -> list[Block]:
    """Gather registers without gaps between them into as few requests as possible, each of ``most`` at most.

    A gap is never read: there are devices that refuse a whole request for one register that they do not have.
    """
    planned: list[Block] = []
    run: list[tuple[str, Register]] = []
    for name, register in sorted(registers.items(), key=lambda entry: (entry[1].table, entry[1].address)):
        if run and not _continues(run, register, most):
            planned.append(_block(run))
            run = []
        run.append((name, register))
    return [*planned, _block(run)] if run else planned


def numbers(block: Block, words: Sequence[int]) -> Iterable[tuple[str, float]]:
    """The value of each field of a block, NaN where the device says that it has none.

    Args:
        block: what was asked for.
        words: the registers that came, or bits; at least ``block.count``.
    """
    for name, register in block.fields:
        start = register.address - block.address
        yield name, number(register, words[start : start + register.words])


def number(register: Register, words: Sequence[int]) -> float:
    """Make a value of a register's words.

    >>> number(Register(address=0, type="int32", scale=0.01, word_order="little"), [0xFFFE, 0xFFFF])
    -0.02
    """
    raw = words[0] if register.table in BIT_TABLES else _unpack(register, words)
    if register.missing is not None and raw == register.missing:
        return math.nan
    value = raw * register.scale + register.offset
    return value if math.isfinite(value) else math.nan


def words(register: Register, value: float) -> list[int]:
    """The inverse of ``number``: the words by which a device shows a value, rounded and limited to what it can express.

    >>> words(Register(address=0, type="uint16", scale=0.01), 642.376)
    [64238]
    """
    if register.table in BIT_TABLES:
        return [int(value != register.offset)]
    if register.type.startswith("float"):
        packed = struct.pack(_FORMATS[register.type], (value - register.offset) / register.scale)
    else:
        packed = struct.pack(_FORMATS[register.type], _whole(register, value))
    shown = [int.from_bytes(packed[at : at + 2]) for at in range(0, len(packed), 2)]
    return shown if register.word_order == "big" else shown[::-1]


def _whole(register: Register, value: float) -> int:
    if math.isnan(value):
        if register.missing is None:
            raise ValueError(f"a {register.type} at {register.address} cannot say that it has no value")
        return register.missing
    span = 1 << 16 * register.words
    low, high = (0, span - 1) if register.type.startswith("u") else (-span // 2, span // 2 - 1)
    return min(high, max(low, round((value - register.offset) / register.scale)))


def _unpack(register: Register, shown: Sequence[int]) -> float:
    ordered = shown if register.word_order == "big" else shown[::-1]
    value: float = struct.unpack(_FORMATS[register.type], b"".join(word.to_bytes(2) for word in ordered))[0]
    return value


def _continues(run: list[tuple[str, Register]], register: Register, most: int) -> bool:
    first, last = run[0][1], run[-1][1]
    end = max(one.address + one.words for _, one in run)
    fits = register.address + register.words - first.address <= most
    return register.table == last.table and register.address <= end and fits


def _block(run: list[tuple[str, Register]]) -> Block:
    first = run[0][1]
    end = max(register.address + register.words for _, register in run)
    return Block(first.table, first.address, end - first.address, tuple(run))
