"""What the outbox gives up when it is full, in the order of sacrifice, and how the centre learns of it.

Dropped seqs are noted as ranges in the transaction that drops them. They become gap records when delivery asks for
what to send, so that an outage of any length ends in few of them; from then on a gap's bytes are frozen.
"""

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime

import structlog

from edge_agent.outbox.file import FLOOR_BYTES, RECORD_TABLES, RESERVE_BYTES, OutboxError, OutboxFile
from edge_agent.settings import OutboxSettings
from shared.errors import MessageError
from shared.messages import Gap, SeqRange, decode_record, encode
from shared.ranges import as_ranges

GAP_MAX_RANGES = 1000
GAP_REASON = "dropped by policy: the outbox (outbox.max_bytes) or the disk of the gateway was full"

SPARE = ("history", "dead_letter", "refused_row")
ORDER = (*SPARE, *RECORD_TABLES)
_ROWS_AT_ONCE = 20
_AHEAD_PAGES = 256
_SPARE_PAGES = 32
_PAGE_FILL = 0.75

log = structlog.get_logger(__name__)


def make_room(
    file: OutboxFile, need_bytes: int, settings: OutboxSettings, *, may_grow: bool, order: Sequence[str] = ORDER
) -> int:
    """Give up what must be given up so that ``need_bytes`` more fit; call it in the transaction that writes them.

    Args:
        file: the outbox.
        need_bytes: size of what will be written.
        settings: how much it may hold, and how much disk is left to the system.
        may_grow: whether the disk is known to give some more.
        order: what may be given up for it.

    Returns:
        How many unacked records were dropped.

    Raises:
        OutboxError: they do not fit even then.
    """
    floor_bytes = _floor_bytes(file, settings.disk_reserve_bytes) if may_grow else 0
    page_bytes = file.page_bytes
    limit_pages = settings.max_bytes // page_bytes
    need_pages = int(need_bytes / _PAGE_FILL / page_bytes) + _SPARE_PAGES

    def room_pages() -> int:
        used, free = file.used_pages(), file.free_pages()
        room = limit_pages - used
        return room if floor_bytes is None else min(room, max(free, floor_bytes // page_bytes - used))

    dropped = 0
    if room_pages() >= need_pages:
        return dropped
    # Some room ahead, so that a full outbox does not delete for every row.
    ahead_pages = need_pages + min(_AHEAD_PAGES, limit_pages // 16)
    for table in order:
        while room_pages() < ahead_pages and (count := _give_up_oldest(file, table)):
            dropped += count if table in ("telemetry", "prediction") else 0
    if room_pages() < need_pages:
        raise OutboxError(
            f"the outbox {file.path} has no room for {need_bytes} bytes; free some disk or raise outbox.max_bytes"
        )
    return dropped


def _floor_bytes(file: OutboxFile, disk_reserve_bytes: int) -> int | None:
    """The size beyond which the file may not grow while the disk is low; None while it is not."""
    disk_free_bytes = file.disk_free_bytes()
    if disk_free_bytes > 2 * RESERVE_BYTES:
        file.keep_reserve()
    return FLOOR_BYTES if disk_free_bytes < disk_reserve_bytes else None


def delete_oldest_history(file: OutboxFile, *, rows: int = _ROWS_AT_ONCE, acked_before_s: float | None = None) -> int:
    """Forget some of the oldest acked records; returns how many."""
    age = "" if acked_before_s is None else f" AND acked_age_s < {acked_before_s!r}"
    deleted = file.rows(
        f"DELETE FROM history WHERE seq IN (SELECT seq FROM history ORDER BY seq LIMIT ?){age} "  # noqa: S608  # a number
        "RETURNING length(body)",
        (rows,),
    )
    file.execute("UPDATE head SET history_bytes = history_bytes - ?", (sum(size for (size,) in deleted),))
    return len(deleted)


def seal_gap(file: OutboxFile, now: datetime) -> None:
    """Make a gap record of dropped ranges that none tells of yet; call it in a transaction."""
    ranges = file.rows("SELECT first, last FROM dropped_range ORDER BY first LIMIT ?", (GAP_MAX_RANGES,))
    gap = Gap(gap_id=str(uuid.uuid4()), ranges=ranges, reason=GAP_REASON, noticed_at=now)
    file.execute("INSERT INTO gap (seq, body) SELECT next_seq, ? FROM head", (encode(gap),))
    file.execute("UPDATE head SET next_seq = next_seq + 1, unacked = unacked + 1")
    file.execute("DELETE FROM dropped_range WHERE first <= ?", (ranges[-1][0],))


def _give_up_oldest(file: OutboxFile, table: str) -> int:
    """Delete some of the oldest rows of one table; returns how many."""
    if table == "history":
        return delete_oldest_history(file)
    deleted = file.rows(
        f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} ORDER BY rowid LIMIT ?) "  # noqa: S608  # our table
        "RETURNING rowid, body",
        (_ROWS_AT_ONCE,),
    )
    if table not in RECORD_TABLES:
        counter = f"{table}s_given_up"
        file.execute(f"UPDATE head SET {counter} = {counter} + ?", (len(deleted),))  # noqa: S608  # our column
        return len(deleted)
    note_dropped(file, as_ranges(seq for seq, _ in deleted))
    file.execute("UPDATE head SET unacked = unacked - ?", (len(deleted),))
    if table == "gap":
        for _, body in deleted:
            note_dropped(file, ranges_of(body))
    else:
        file.execute("UPDATE head SET dropped = dropped + ?", (len(deleted),))
    return len(deleted)


def ranges_of(body: bytes) -> list[SeqRange]:
    """The dropped seqs that a gap record tells of; none, if a failing disk has left nothing readable of it."""
    try:
        gap = decode_record(body)
    except MessageError as error:
        log.warning("gap_damaged", reason=f"what it told of is not known any more: {error}")
        return []
    return gap.ranges if isinstance(gap, Gap) else []


def note_dropped(file: OutboxFile, ranges: Iterable[SeqRange], table: str = "dropped_range") -> None:
    """Note ranges, each joined with its neighbours; call it in a transaction."""
    for first, last in ranges:
        before = file.rows(f"SELECT first FROM {table} WHERE first < ? ORDER BY first DESC LIMIT 1", (first,))  # noqa: S608
        after = file.rows(f"DELETE FROM {table} WHERE first = ? RETURNING last", (last + 1,))  # noqa: S608
        end = after[0][0] if after else last
        joined = before and file.execute(
            f"UPDATE {table} SET last = ? WHERE first = ? AND last = ?",  # noqa: S608
            (end, before[0][0], first - 1),
        )
        if not joined:
            file.execute(f"INSERT INTO {table} VALUES (?, ?)", (first, end))  # noqa: S608
