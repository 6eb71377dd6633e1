"""What the centre's answer does to records that it did not commit: quarantined ones are parked, deferred ones wait."""

from collections.abc import Iterable

from edge_agent.outbox.file import RECORD_TABLES, OutboxFile
from shared.messages import Ack, Deferred

DEAD_LETTERS_KEPT = 10_000
MAX_DEFERRAL_S = 3600.0


def park(file: OutboxFile, ack: Ack, at: float) -> None:
    """Turn quarantined records into dead letters with their reason; call it in a transaction."""
    for entry in ack.quarantined:
        for table in RECORD_TABLES:
            deleted = f"DELETE FROM {table} WHERE seq = ? RETURNING body"  # noqa: S608  # our table
            for (body,) in file.rows(deleted, (entry.seq,)):
                file.execute(
                    "INSERT INTO dead_letter (stream_id, seq, body, reason, at) VALUES (?, ?, ?, ?, ?)",
                    (ack.stream_id, entry.seq, body, entry.reason, at),
                )
                file.execute("UPDATE head SET dead_letters = dead_letters + 1, unacked = unacked - 1")
    if ack.quarantined:
        oldest = "DELETE FROM dead_letter WHERE id <= (SELECT max(id) FROM dead_letter) - ?"
        given_up = file.execute(oldest, (DEAD_LETTERS_KEPT,))
        file.execute("UPDATE head SET dead_letters_given_up = dead_letters_given_up + ?", (given_up,))


def defer(file: OutboxFile, deferred: Iterable[Deferred], at: float) -> None:
    """Let records wait as long as the centre asks, an hour at most; call it in a transaction."""
    for entry in deferred:
        retry_at = at + min(entry.retry_after_s, MAX_DEFERRAL_S)
        for table in RECORD_TABLES:
            update = f"UPDATE {table} SET retry_at = ? WHERE seq BETWEEN ? AND ?"  # noqa: S608  # our table
            file.execute(update, (retry_at, *entry.range))
