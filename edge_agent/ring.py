"""The raw ring: the last samples of this gateway in a bounded SQLite file, oldest given up first and counted.

From it a cycle that was in work is built up again after a crash, and samples are fetched by command. A damaged file is
set aside; what it held of unfinished cycles is then missing, and their rows say so.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from edge_agent.outbox.damage import set_aside
from edge_agent.outbox.file import FLOOR_BYTES, RESERVE_BYTES, DamagedError, DiskError, OutboxError, OutboxFile
from edge_agent.outbox.layout import Layout
from shared.rows import Sample

READ_AT_ONCE = 2000
PIECE_BYTES = 256 * 1024
ROW_BYTES = 24
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PAGE_FILL = 0.75
_SPARE_PAGES = 16

RING = Layout(
    "sample ring",
    0x53706F52,  # "SpoR"
    1,
    """
CREATE TABLE head (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    next_id INTEGER NOT NULL DEFAULT 1,
    began_id INTEGER NOT NULL DEFAULT 1,
    dropped INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE sample (
    id INTEGER PRIMARY KEY, serial TEXT NOT NULL, at_us INTEGER NOT NULL, cycle INTEGER, channels BLOB NOT NULL
);
CREATE TABLE lost (serial TEXT PRIMARY KEY, last_id INTEGER NOT NULL);
""",
    lambda execute: execute("INSERT INTO head (only) VALUES (1)", ()),
)

T = TypeVar("T")

log = structlog.get_logger(__name__)
_decoder = msgspec.json.Decoder(dict[str, float | None])


class Ring:
    """The samples of one gateway; used from one thread. There is no file before the first sample.

    Args:
        path: the SQLite file.
        max_bytes: how large it may become.
        disk_reserve_bytes: free disk left to the system; with less, a file of 4 MiB or more grows no further.
        now: the clock, aware UTC, for the name of what is set aside.

    Attributes:
        next_id: the id that the next sample will get; ids are never given twice.

    Raises:
        OutboxError: the file cannot be opened or set aside.
    """

    def __init__(self, path: Path, *, max_bytes: int, disk_reserve_bytes: int, now: Callable[[], datetime]) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._disk_reserve_bytes = disk_reserve_bytes
        self._now = now
        self._open_file: OutboxFile | None = None
        self.next_id = 1
        if path.exists() or path.with_name(f"{path.name}-wal").exists():
            self.next_id = self._surely(lambda: int(self._file.head("next_id")))

    @property
    def is_empty(self) -> bool:
        """Whether no sample was ever kept here."""
        return self._open_file is None

    def close(self) -> None:
        """Close the file."""
        if self._open_file is not None:
            self._open_file.close()

    def append(self, samples: Sequence[Sample]) -> int:
        """Make the first of these samples durable, as many as go into one transaction, under ids from ``next_id`` on.

        Returns:
            How many, one at least.

        Raises:
            OutboxError: nothing was stored (the disk is full or failing); the same call may be made again.
        """
        rows: list[tuple[int, str, int, int | None, bytes]] = []
        need_bytes = 0
        for sample_id, one in enumerate(samples, start=self.next_id):
            channels = msgspec.json.encode(one.channels)
            need_bytes += len(one.engine) + len(channels) + ROW_BYTES
            if rows and need_bytes > PIECE_BYTES:
                break
            rows.append((sample_id, one.engine, _microseconds(one.observed_at), one.cycle, channels))
        after = self.next_id + len(rows)

        def write(may_grow: bool) -> None:
            with self._file.transaction():
                self._make_room(need_bytes, may_grow=may_grow)
                self._file.execute_many("INSERT INTO sample VALUES (?, ?, ?, ?, ?)", rows)
                self._file.execute("UPDATE head SET next_id = ?", (after,))

        try:
            self._surely(partial(write, True))
        except DiskError:
            self._surely(partial(write, False))
        self.next_id = after
        return len(rows)

    def begin_behind(self, sample_id: int) -> None:
        """Give greater ids than this one: where the file was lost, cycles know of samples that it does not."""
        if sample_id >= self.next_id:
            self.next_id = sample_id + 1
            self._surely(self._note_beginning)

    def is_lost_after(self, sample_id: int, serial: str) -> bool:
        """Whether some of an engine's samples with greater ids may be gone."""
        if self.is_empty:
            return False
        rows = self._surely(lambda: self._file.rows("SELECT last_id FROM lost WHERE serial = ?", (serial,)))
        began_id = int(self._surely(lambda: self._file.head("began_id")))
        return any(last_id > sample_id for (last_id,) in rows) or (began_id > 1 and began_id > sample_id)

    def after(self, sample_id: int) -> Iterator[list[tuple[int, Sample]]]:
        """Samples with greater ids than this one and their ids, in order, some at a time."""
        while found := self._read(sample_id, "1"):
            yield found
            sample_id = found[-1][0]

    def between(self, serial: str, since: datetime, until: datetime) -> Iterator[list[tuple[int, Sample]]]:
        """One engine's samples that were observed from ``since`` up to ``until``, in the order in which they came.

        Looks at some thousands for each list that it gives, which may be empty.
        """
        first, end = self.first_id, self.next_id
        while first < end:
            last = min(first + READ_AT_ONCE, end) - 1
            span = (serial, _microseconds(since), _microseconds(until), last)
            yield self._read(first - 1, "serial = ?2 AND at_us BETWEEN ?3 AND ?4 AND id <= ?5", span)
            first = last + 1

    @property
    def first_id(self) -> int:
        """The id of the oldest sample that is here; ``next_id`` where there is none."""
        if self.is_empty:
            return self.next_id
        oldest = "SELECT coalesce(min(id), ?) FROM sample"
        return int(self._surely(lambda: self._file.rows(oldest, (self.next_id,)))[0][0])

    def oldest_at(self, serial: str) -> datetime | None:
        """When the oldest sample of one engine was observed that is here; None where there is none."""
        oldest = self._read(0, "serial = ?2", (serial,), limit=1)
        return oldest[0][1].observed_at if oldest else None

    @property
    def dropped(self) -> int:
        """How many samples were given up because the file or the disk was full."""
        return 0 if self.is_empty else int(self._surely(lambda: self._file.head("dropped")))

    @property
    def _file(self) -> OutboxFile:
        if self._open_file is None:
            self._open_file = OutboxFile(self._path, layout=RING)
        return self._open_file

    def _read(
        self, after_id: int, which: str, parameters: Sequence[object] = (), *, limit: int = READ_AT_ONCE
    ) -> list[tuple[int, Sample]]:
        if self.is_empty:
            return []
        query = f"SELECT * FROM sample WHERE id > ?1 AND {which} ORDER BY id LIMIT {limit}"  # noqa: S608  # ours
        rows = self._surely(lambda: self._file.rows(query, (after_id, *parameters)))
        return [(sample_id, _sample(*rest)) for sample_id, *rest in rows]

    def _make_room(self, need_bytes: int, *, may_grow: bool) -> None:
        """Give up the oldest samples so that more fit; call it in the transaction that writes them."""
        file = self._file
        disk_free_bytes = file.disk_free_bytes()
        if disk_free_bytes > 2 * RESERVE_BYTES:
            file.keep_reserve()
        is_low = not may_grow or disk_free_bytes < self._disk_reserve_bytes
        floor_pages = (FLOOR_BYTES if may_grow else 0) // file.page_bytes
        limit_pages = self._max_bytes // file.page_bytes
        need_pages = int(need_bytes / _PAGE_FILL / file.page_bytes) + _SPARE_PAGES

        def room_pages() -> int:
            used, free = file.used_pages(), file.free_pages()
            room = limit_pages - used
            return min(room, max(free, floor_pages - used)) if is_low else room

        if room_pages() >= need_pages:
            return
        # Some room ahead, so that a full ring does not delete for every sample.
        ahead_pages = need_pages + limit_pages // 16
        while room_pages() < ahead_pages and self._give_up_oldest():
            pass
        if room_pages() < need_pages:
            raise OutboxError(f"the sample ring {self._path} has no room for {need_bytes} bytes; raise ring.max_bytes")

    def _give_up_oldest(self) -> int:
        oldest = "DELETE FROM sample WHERE id IN (SELECT id FROM sample ORDER BY id LIMIT 500) RETURNING id, serial"
        deleted = self._file.rows(oldest)
        lost = {serial: sample_id for sample_id, serial in sorted(deleted)}
        self._file.execute_many("INSERT OR REPLACE INTO lost VALUES (?, ?)", lost.items())
        self._file.execute("UPDATE head SET dropped = dropped + ?", (len(deleted),))
        return len(deleted)

    def _surely(self, work: Callable[[], T]) -> T:
        """Do a piece of work; once more after a failing disk was relieved or a damaged file replaced."""
        try:
            return work()
        except DiskError:
            if self._open_file is None:
                raise
            self._open_file.relieve()
        except DamagedError as error:
            self._begin_anew(error)
        return work()

    def _begin_anew(self, error: DamagedError) -> None:
        self.close()
        self._open_file = None
        aside = set_aside(self._path, self._now())
        log.error("sample_ring_damaged", reason=str(error), set_aside=str(aside))
        self._note_beginning()

    def _note_beginning(self) -> None:
        self._file.execute("UPDATE head SET next_id = ?1, began_id = ?1", (self.next_id,))


def _sample(serial: str, at_us: int, cycle: int | None, channels: bytes) -> Sample:
    values = {name: float("nan") if value is None else value for name, value in _decoder.decode(channels).items()}
    return Sample(serial, _EPOCH + at_us * _MICROSECOND, values, cycle)


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND
