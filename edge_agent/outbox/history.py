"""Committed records that the outbox keeps for a while, for a centre that must be made whole from a backup."""

from collections.abc import Iterable

from edge_agent.outbox.file import RECORD_TABLES, OutboxFile
from edge_agent.outbox.sacrifice import delete_oldest_history
from shared.messages import SeqRange


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


def take_back(file: OutboxFile, ranges: Iterable[SeqRange]) -> int:
    """Make history unacked again; returns how many records; call it in a transaction."""
    taken = 0
    for span in ranges:
        for table in RECORD_TABLES:
            file.execute(
                f"INSERT OR IGNORE INTO {table} (seq, body) "  # noqa: S608  # our table
                "SELECT seq, body FROM history WHERE kind = ? AND seq BETWEEN ? AND ?",
                (table, *span),
            )
        sizes = file.rows("DELETE FROM history WHERE seq BETWEEN ? AND ? RETURNING length(body)", span)
        taken += len(sizes)
        file.execute(
            "UPDATE head SET unacked = unacked + ?, history_bytes = history_bytes - ?",
            (len(sizes), sum(size for (size,) in sizes)),
        )
    return taken


def fold(seqs: Iterable[int]) -> list[SeqRange]:
    """Sorted seqs as ranges, without holding the seqs."""
    ranges: list[SeqRange] = []
    for seq in seqs:
        if ranges and ranges[-1][1] + 1 == seq:
            ranges[-1] = (ranges[-1][0], seq)
        else:
            ranges.append((seq, seq))
    return ranges
