"""What a step of the pipeline writes: numbered records, the source's cursor, and rows that were refused."""

from collections.abc import Sequence

from edge_agent.outbox.file import OutboxFile

REFUSED_ROWS_KEPT = 10_000


def number_records(
    file: OutboxFile,
    telemetry: Sequence[bytes],
    predictions: Sequence[bytes],
    cursor: str | None,
    per_s: tuple[float, float],
) -> None:
    """Store records under the next seqs, telemetry first; call it in a transaction.

    The present rate (records and bytes per second) is kept as the last known one, unless there are no records.
    """
    first = file.head("next_seq")
    middle = first + len(telemetry)
    after = middle + len(predictions)
    file.execute_many("INSERT INTO telemetry (seq, body) VALUES (?, ?)", enumerate(telemetry, start=first))
    file.execute_many("INSERT INTO prediction (seq, body) VALUES (?, ?)", enumerate(predictions, start=middle))
    file.execute(
        "UPDATE head SET next_seq = ?, unacked = unacked + ?, cursor = coalesce(?, cursor)",
        (after, after - first, cursor),
    )
    if after > first:
        file.execute("UPDATE head SET records_per_s = ?, bytes_per_s = ?", per_s)


def set_rows_aside(file: OutboxFile, rows: Sequence[tuple[bytes, str, float]]) -> None:
    """Keep refused rows (bytes, reason, Unix time), the newest of them; call it in a transaction."""
    if rows:
        file.execute_many("INSERT INTO refused_row (body, reason, at) VALUES (?, ?, ?)", rows)
        oldest = "DELETE FROM refused_row WHERE id <= (SELECT max(id) FROM refused_row) - ?"
        given_up = file.execute(oldest, (REFUSED_ROWS_KEPT,))
        update = "UPDATE head SET refused_rows = refused_rows + ?, refused_rows_given_up = refused_rows_given_up + ?"
        file.execute(update, (len(rows), given_up))
