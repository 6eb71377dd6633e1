"""Leaves a stream that the centre refuses: what is unacked or dropped is numbered from 1 again, a piece at a time.

Each piece is a transaction that moves rows into tables of the same shape: pages stay full, and no more of them are
needed than before. Only the last step puts the new tables and the new stream id into the place of the old, so what a
power cut leaves half done lies under two names that cannot be confused, and whoever opens the file next goes on.
What is accepted between two pieces gets a number of the old stream, behind all others, and moves when its turn comes.
"""

import uuid

from edge_agent.outbox.file import OutboxFile
from edge_agent.outbox.sacrifice import delete_oldest_history, note_dropped, ranges_of

PIECE_ROWS = 250

_RECORDS = ("telemetry", "prediction")
_MOVED = (*_RECORDS, "dropped_range")
_NEXT = (
    "SELECT seq, seq FROM telemetry UNION ALL SELECT seq, seq FROM prediction "
    "UNION ALL SELECT first, last FROM dropped_range ORDER BY 1 LIMIT ?"
)


def begin(file: OutboxFile) -> None:
    """Note the id of the new stream, unless one is noted already; all else is as it was until the last piece."""
    with file.transaction():
        if is_under_way(file):
            return
        for table in _MOVED:
            shape = file.one("SELECT sql FROM sqlite_master WHERE name = ?", (table,))
            file.execute(shape.replace(table, _renumbered(table), 1))
        file.execute("UPDATE head SET new_stream_id = ?, new_next_seq = 1", (uuid.uuid4().hex,))


def is_under_way(file: OutboxFile) -> bool:
    """Whether a new stream was begun and is not finished."""
    return file.head("new_stream_id") is not None


def go_on(file: OutboxFile) -> bool:
    """Do one piece, the last of which goes over to the new stream; call it outside of transactions.

    History is forgotten. Gap records are taken apart, for they tell of seqs of the stream that is left.

    Returns:
        Whether there is more to do; until there is not, neither numbering is whole.

    Raises:
        OutboxError: the file cannot be written at the moment; the piece is not done.
    """
    if _forget_history(file) or _take_gap_apart(file) or _move_piece(file):
        return True
    with file.transaction():
        for table in _MOVED:
            file.execute(f"DROP TABLE {table}")
            file.execute(f"ALTER TABLE {_renumbered(table)} RENAME TO {table}")
        file.execute("UPDATE head SET stream_id = new_stream_id, next_seq = new_next_seq, new_stream_id = NULL")
    return False


def _forget_history(file: OutboxFile) -> bool:
    """Forget some of it; False where there is none."""
    if not file.rows("SELECT seq FROM history LIMIT 1"):
        return False
    with file.transaction(durable=False):
        delete_oldest_history(file, rows=PIECE_ROWS)
    return True


def _take_gap_apart(file: OutboxFile) -> bool:
    """Note again what the oldest gap record tells of; False where there is none."""
    if not file.rows("SELECT seq FROM gap LIMIT 1"):
        return False
    with file.transaction(durable=False):
        gaps = file.rows("DELETE FROM gap WHERE seq = (SELECT min(seq) FROM gap) RETURNING body")
        for (body,) in gaps:
            note_dropped(file, ranges_of(body))
            file.execute("UPDATE head SET unacked = unacked - 1")
    return True


def _move_piece(file: OutboxFile) -> bool:
    """Renumber the oldest rows that are not yet; False where that was all of them."""
    with file.transaction(durable=False):
        spans = file.rows(_NEXT, (PIECE_ROWS,))
        if not spans:
            return False
        next_seq = file.head("new_next_seq")
        numbers: dict[int, int] = {}
        for first, last in spans:
            numbers[first] = next_seq
            next_seq += last - first + 1
        for table in _RECORDS:
            # Deleted before they are written: the file need not grow for it.
            rows = file.rows(f"DELETE FROM {table} WHERE seq <= ? RETURNING seq, body", (first,))  # noqa: S608  # our table
            insert = f"INSERT INTO {_renumbered(table)} (seq, body) VALUES (?, ?)"  # noqa: S608  # our table
            file.execute_many(insert, sorted((numbers[seq], body) for seq, body in rows))
        ranges = file.rows("DELETE FROM dropped_range WHERE first <= ? RETURNING first, last", (first,))
        renumbered = [(numbers[begun], numbers[begun] + ended - begun) for begun, ended in sorted(ranges)]
        note_dropped(file, renumbered, _renumbered("dropped_range"))
        file.execute("UPDATE head SET new_next_seq = ?", (next_seq,))
        return len(spans) == PIECE_ROWS


def _renumbered(table: str) -> str:
    return f"renumbered_{table}"
