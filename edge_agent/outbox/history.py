"""Committed records that the outbox keeps for a while, for a centre that must be made whole from a backup."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from edge_agent.outbox.file import RECORD_TABLES, OutboxFile
from edge_agent.outbox.sacrifice import delete_oldest_history, make_room
from edge_agent.settings import OutboxSettings
from shared.messages import SeqRange
from shared.ranges import as_ranges

PIECE_ROWS = 1000
HELD_TABLES = (*RECORD_TABLES, "history")
_COUNT = " + ".join(f"(SELECT count(*) FROM {table} WHERE seq BETWEEN ?1 AND ?2)" for table in HELD_TABLES)  # noqa: S608
_SEQS = " UNION ALL ".join(f"SELECT seq FROM {table} WHERE seq BETWEEN ?1 AND ?2" for table in HELD_TABLES)  # noqa: S608


def keep(file: OutboxFile, ranges: Iterable[SeqRange], *, age_s: float, forget: bool) -> None:
    """Turn unacked records of the ranges into history, or forget them; call it in a transaction."""
    for span in ranges:
        for table in RECORD_TABLES:
            within = f"FROM {table} WHERE seq BETWEEN ? AND ?"
            count, size_bytes = file.rows(f"SELECT count(*), sum(length(body)) {within}", span)[0]
            if not count:
                continue
            if not forget:
                insert = f"INSERT OR REPLACE INTO history SELECT seq, '{table}', body, {age_s!r} {within}"  # ours
                file.execute(insert, span)
            file.execute(f"DELETE {within}", span)
            file.execute(
                "UPDATE head SET unacked = unacked - ?, history_bytes = history_bytes + ?",
                (count, 0 if forget else size_bytes),
            )


def expire(file: OutboxFile, *, max_bytes: int, acked_before_s: float) -> None:
    """Forget the oldest history beyond its size and age; call it in a transaction."""
    while file.one("SELECT history_bytes FROM head") > max_bytes and delete_oldest_history(file):
        pass
    while delete_oldest_history(file, acked_before_s=acked_before_s):
        pass


def take_back(
    file: OutboxFile, span: SeqRange, settings: OutboxSettings, *, may_grow: bool
) -> tuple[int, list[SeqRange]]:
    """Make the newest history of a range unacked again; call it in a transaction.

    Goes over the newest ``PIECE_ROWS`` records of the range, acked or not. Where what was acked does not fit, the
    oldest history is given up.

    Returns:
        The seq down to which the range is done, and the parts of it from there on that are not here.

    Raises:
        OutboxError: it does not fit even then.
    """
    first, last = span
    held = [seq for (seq,) in file.rows(f"{_SEQS} ORDER BY seq DESC LIMIT ?3", (first, last, PIECE_ROWS))]
    lowest = held[-1] if len(held) == PIECE_ROWS else first
    # Deleted before they are written: the file need not grow for it.
    rows = file.rows("DELETE FROM history WHERE seq BETWEEN ? AND ? RETURNING seq, kind, body", (lowest, last))
    if rows:
        size_bytes = sum(len(body) for _, _, body in rows)
        update = "UPDATE head SET unacked = unacked + ?, history_bytes = history_bytes - ?"
        file.execute(update, (len(rows), size_bytes))
        make_room(file, size_bytes, settings, may_grow=may_grow, order=("history",))
    for table in RECORD_TABLES:
        insert = f"INSERT INTO {table} (seq, body) VALUES (?, ?)"  # noqa: S608  # our table
        file.execute_many(insert, sorted((seq, body) for seq, kind, body in rows if kind == table))
    return lowest, holes((lowest, last), held[::-1])


def held_between(file: OutboxFile, first: int, last: int) -> list[SeqRange]:
    """Seqs between two whose records are here, acked or not, as sorted ranges; counting is cheap, listing is not."""
    count = file.one(f"SELECT {_COUNT}", (first, last))
    if count == last - first + 1:
        return [(first, last)]
    return as_ranges(seq for (seq,) in file.rows(_SEQS, (first, last))) if count else []


def next_seq_in(file: OutboxFile, tables: Sequence[str], at_least: int) -> int | None:
    """The next seq that some of the tables hold; None behind the last."""
    query = "SELECT min(seq) FROM {} WHERE seq >= ?"
    found = (file.one(query.format(table), (at_least,)) for table in tables)
    return min((seq for seq in found if seq is not None), default=None)


def join(ranges: list[SeqRange], more: list[SeqRange]) -> None:
    """Append ranges that lie behind, the first of which may touch the last.

    >>> ranges = [(1, 2), (5, 6)]
    >>> join(ranges, [(7, 8), (10, 10)])
    >>> ranges
    [(1, 2), (5, 8), (10, 10)]
    """
    if ranges and more and ranges[-1][1] + 1 == more[0][0]:
        more = [(ranges.pop()[0], more[0][1]), *more[1:]]
    ranges.extend(more)


def holes(span: SeqRange, seqs: Sequence[int]) -> list[SeqRange]:
    """The parts of a range in which none of some seqs lies; they are sorted and all of them within it.

    >>> holes((1, 9), [3, 4, 8])
    [(1, 2), (5, 7), (9, 9)]
    """
    first, last = span
    edges = pairwise([first - 1, *seqs, last + 1])
    return [(before + 1, after - 1) for before, after in edges if before + 1 < after]
