"""Tells records that were dropped from lost ones: a gap record speaks of a seq, and neighbours say whose that was."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from sqlalchemy import Connection, bindparam, text

from tests.crash_matrix.feed import Key
from tests.crash_matrix.ledger import StreamAccount

Place = tuple[int, int]
"""Stream and seq: where a record came in the life of its gateway."""

_BEFORE_ALL: Place = (0, 0)
_AFTER_ALL: Place = (2**63, 0)


def gone_places(streams: Iterable[StreamAccount]) -> dict[str, list[Place]]:
    """Where each gateway dropped a record that had not arrived before, in order."""
    gone: dict[str, list[Place]] = {}
    for account in streams:
        gone.setdefault(account.gateway, []).extend((account.stream, seq) for seq in account.gone)
    return {gateway: sorted(places) for gateway, places in gone.items()}


def places_of(connection: Connection, table: str, serials: Iterable[str]) -> dict[Key, Place]:
    """Where each stored record of some engines came."""
    query = text(
        f"SELECT serial, cycle, stream, seq FROM {table} "  # our table
        "JOIN engine ON engine.id = engine_id WHERE serial IN :serials"
    ).bindparams(bindparam("serials", expanding=True))
    rows = connection.execute(query, {"serials": list(serials)})
    return {(serial, cycle): (stream, seq) for serial, cycle, stream, seq in rows}


def not_told_of(emitted: Sequence[Key], stored: Mapping[Key, Place], gone: Sequence[Place]) -> int:
    """How many records of one kind are missing at a place where their gateway dropped none.

    A gateway numbers what it takes in the order of emission, so that what it dropped of a run of missing records
    lies between the seqs of the records before and behind that run.

    Args:
        emitted: every record due of one gateway, in order.
        stored: where those came that are there.
        gone: where the gateway dropped records, in order.

    >>> rows = [("E-1", cycle) for cycle in range(1, 6)]
    >>> stored = {("E-1", 1): (1, 1), ("E-1", 4): (1, 7), ("E-1", 5): (1, 9)}
    >>> not_told_of(rows, stored, gone=[(1, 3), (1, 5)])
    0
    >>> not_told_of(rows, stored, gone=[(1, 3), (1, 8)])
    1
    """
    return sum(max(0, missing - _between(gone, first, last)) for missing, first, last in _missing_runs(emitted, stored))


def _missing_runs(emitted: Sequence[Key], stored: Mapping[Key, Place]) -> Iterator[tuple[int, Place, Place]]:
    """How long each run of missing records is, and the places before and behind it."""
    before, missing = _BEFORE_ALL, 0
    for is_stored, run in groupby(emitted, key=stored.__contains__):
        keys = list(run)
        if is_stored and missing:
            yield missing, before, stored[keys[0]]
        before, missing = (stored[keys[-1]], 0) if is_stored else (before, len(keys))
    if missing:
        yield missing, before, _AFTER_ALL


def _between(gone: Sequence[Place], first: Place, last: Place) -> int:
    first, last = min(first, last), max(first, last)
    return bisect_left(gone, last) - bisect_right(gone, first)
