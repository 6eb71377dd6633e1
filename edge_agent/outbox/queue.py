"""The open outbox: takes steps of the pipeline, gives records to delivery, and settles them by the centre's answers.

Accepted means: committed here with ``synchronous=FULL``. Source cursor, records and feature state of one step are
one transaction. A record leaves by the centre's answer, or by the order of sacrifice with a gap record instead.
"""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from edge_agent.outbox.acceptance import number_records, set_rows_aside
from edge_agent.outbox.capacity import fill_level
from edge_agent.outbox.file import RECORD_TABLES, OutboxError, OutboxFile
from edge_agent.outbox.history import HELD_TABLES, expire, held_between, keep, next_seq_in, take_back
from edge_agent.outbox.lasting import LastingFile
from edge_agent.outbox.rate import Rate
from edge_agent.outbox.sacrifice import ORDER, SPARE, make_room, seal_gap
from edge_agent.outbox.settlement import MAX_DEFERRAL_S, defer, park
from edge_agent.ports import RefusedRow
from edge_agent.settings import OutboxSettings
from shared.messages import Ack, OutboxStatus, SeqRange, Session

LAST_SEQ = 2**63 - 1
SLICE_SEQS = 4096

_DEFAULTS = OutboxSettings()


def _waiting_in(tables: Iterable[str]) -> str:
    # A deferral further ahead than any centre may ask for comes from a clock that was set back; it is over.
    selects = (
        f"SELECT seq, body FROM {table} WHERE seq BETWEEN ?1 AND ?2 "  # noqa: S608  # our table
        f"AND (retry_at IS NULL OR retry_at <= ?3 OR retry_at > ?3 + {MAX_DEFERRAL_S})"
        for table in tables
    )
    return f"{' UNION ALL '.join(selects)} ORDER BY seq LIMIT ?4"


_WAITING = _waiting_in(RECORD_TABLES)
_WAITING_BUT_TELEMETRY = _waiting_in(table for table in RECORD_TABLES if table != "telemetry")

log = structlog.get_logger(__name__)


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Stored:
    """One record that waits for the centre's answer."""

    seq: int
    body: bytes


@dataclass(frozen=True, slots=True)
class StoredState:
    """The feature state of one engine, the model whose it is, and the installation that it stands on."""

    model_sha256: str
    state: bytes
    footing: bytes = b""


class Outbox:
    """The outbox of one gateway; used from one thread.

    A damaged file is set aside, at the start or whenever it shows, and a fresh stream begins in a new one.

    Args:
        path: the SQLite file; made where there is none.
        read_only: only look; the file must exist, and another process may be writing it.
        settings: how much it may hold.
        now: the clock, aware UTC; it may be wrong.
        monotonic_s: a clock that only goes forward, in seconds.

    Raises:
        OutboxError: the file cannot be opened or set aside, or is of another version.
    """

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool = False,
        settings: OutboxSettings = _DEFAULTS,
        now: Callable[[], datetime] = _utc_now,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._now = now
        self._monotonic_s = monotonic_s
        self._rate = Rate(monotonic_s)
        self._lasting = LastingFile(path, read_only=read_only, now=now)
        self._start_age()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def stream_id(self) -> str:
        """The id of the present stream."""
        return str(self._head("stream_id"))

    @property
    def next_seq(self) -> int:
        """The seq that the next accepted record will get."""
        return int(self._head("next_seq"))

    @property
    def cursor(self) -> str | None:
        """Where the source goes on, or None before its first batch."""
        cursor = self._head("cursor")
        return None if cursor is None else str(cursor)

    @property
    def store_epoch(self) -> str | None:
        """The epoch of the centre's store that last answered, or None before the first answer."""
        epoch = self._head("store_epoch")
        return None if epoch is None else str(epoch)

    def remember_store_epoch(self, epoch: str) -> None:
        """Keep the epoch of the centre's store that has answered."""

        def write() -> None:
            with self._file.transaction(durable=False):
                self._file.execute("UPDATE head SET store_epoch = ?", (epoch,))

        self._lasting.surely(write)

    def engine_state(self, serial: str) -> StoredState | None:
        """What was last accepted of one engine; a damaged one is empty."""
        query = "SELECT model_sha256, state, footing FROM engine_state WHERE serial = ?"
        found = self._lasting.surely(lambda: self._file.rows(query, (serial,)), half_way=True)
        if not found:
            return None
        model_sha256, *blobs = found[0]
        return StoredState(str(model_sha256), *(blob if isinstance(blob, bytes) else b"" for blob in blobs))

    def cycle_place(self, serial: str) -> bytes | None:
        """Where the cycles of one engine were last accepted to be, None before the first."""
        query = "SELECT place FROM cycle_place WHERE serial = ?"
        found = self._lasting.surely(lambda: self._file.rows(query, (serial,)), half_way=True)
        return found[0][0] if found and isinstance(found[0][0], bytes) else None

    def desired(self) -> tuple[int, bytes]:
        """The ordinal and the bytes of what was last kept by ``keep_desired``; 0 before that."""
        found = self._lasting.surely(lambda: self._file.rows("SELECT ordinal, body FROM desired"), half_way=True)
        return (int(found[0][0]), bytes(found[0][1])) if found else (0, b"")

    def keep_desired(self, ordinal: int, body: bytes) -> None:
        """Keep what the centre says hangs at this gateway, in the place of what it said before.

        Raises:
            OutboxError: the disk is full or failing.
        """

        def write() -> None:
            with self._file.transaction():
                self._file.execute("INSERT OR REPLACE INTO desired VALUES (1, ?, ?)", (ordinal, body))

        self._lasting.surely(write, half_way=True)

    def begin_session(self) -> Session:
        """Count one more start of the agent."""

        def count() -> int:
            with self._file.transaction():
                self._file.execute("UPDATE head SET sessions = sessions + 1")
                return int(self._file.head("sessions"))

        self._lasting.sessions = self._lasting.surely(count, half_way=True)
        return Session(counter=self._lasting.sessions, boot_nonce=uuid.uuid4().hex)

    def accept(
        self,
        telemetry: Sequence[bytes] = (),
        predictions: Sequence[bytes] = (),
        *,
        cursor: str | None = None,
        states: Mapping[str, StoredState] | None = None,
        places: Mapping[str, bytes] | None = None,
        refused: Iterable[RefusedRow] = (),
        at: float = 0.0,
    ) -> None:
        """Make one step durable, all of it or nothing; what is full gives up the oldest of what it holds.

        Args:
            telemetry: encoded records, numbered in this order.
            predictions: encoded records, numbered after the telemetry.
            cursor: where the source goes on after this step.
            states: feature state per engine after this step.
            places: where the cycles of engines are after this step, see ``shared.cycles.Place``.
            refused: rows set aside with their reason.
            at: Unix time in seconds noted with refused rows.

        Raises:
            OutboxError: nothing was stored (the disk is full or failing); the same call may be made again.
        """
        refused_rows = [(row.raw, row.reason, at) for row in refused]
        state_rows = [(serial, *astuple(state)) for serial, state in (states or {}).items()]
        records = len(telemetry) + len(predictions)
        size_bytes = sum(map(len, telemetry)) + sum(map(len, predictions))
        need_bytes = size_bytes + sum(len(row[0]) for row in refused_rows)

        def write(may_grow: bool, order: Sequence[str] = ORDER) -> int:
            with self._file.transaction():
                dropped = make_room(self._file, need_bytes, self._settings, may_grow=may_grow, order=order)
                number_records(self._file, telemetry, predictions, cursor, self._rate.per_s(records, size_bytes))
                self._file.execute_many("INSERT OR REPLACE INTO engine_state VALUES (?, ?, ?, ?)", state_rows)
                self._file.execute_many("INSERT OR REPLACE INTO cycle_place VALUES (?, ?)", (places or {}).items())
                set_rows_aside(self._file, refused_rows)
                return dropped

        dropped = self._store_half_way(write) if self.is_renumbering else self._lasting.store(write)
        self._rate.note(records, size_bytes)
        if dropped:
            log.error("records_dropped", records=dropped, reason="the outbox or its disk is full")

    def waiting(self, first: int, last: int, *, limit: int, at: float, telemetry: bool = True) -> list[Stored]:
        """Records with ``first`` ≤ seq ≤ ``last`` that may be sent at Unix time ``at``, in order of seq.

        Without ``telemetry`` all others. Costs what lies between, also what may not be sent.

        Whoever asks for the newest gets a gap record too where something was dropped.
        """
        if last >= self.next_seq:
            self._seal_gap()
        query = _WAITING if telemetry else _WAITING_BUT_TELEMETRY
        return [Stored(*row) for row in self._lasting.surely(lambda: self._file.rows(query, (first, last, at, limit)))]

    def next_unacked(self, at_least: int) -> int | None:
        """The next seq that waits for its answer, whether it may be sent or not; None behind the last."""
        return self._lasting.surely(lambda: next_seq_in(self._file, RECORD_TABLES, at_least))

    def settle(self, ack: Ack, *, at: float) -> None:
        """Do what the centre's answer says: committed becomes history, quarantined a dead letter, deferred waits.

        Not fsynced: what a power cut undoes here is sent and answered again. An answer about another stream
        changes nothing.
        """

        def write() -> None:
            if ack.stream_id == self._file.head("stream_id"):
                with self._file.transaction(durable=False):
                    park(self._file, ack, at)
                    keep(self._file, ack.committed, age_s=self._age_s(), forget=not self._settings.history_max_bytes)
                    defer(self._file, ack.deferred, at)
                    self._tidy()

        self._lasting.surely(write)
        self._lasting.surely(lambda: self._file.give_back())

    def begin_new_stream(self) -> str:
        """Begin to leave a stream the centre refuses: what is unacked is renumbered from 1 in the same order.

        History is forgotten: it is the centre's, under the stream that is left. ``renumber_piece`` does the work, also
        for the next one who opens the file. Until it is done the outbox tells of the stream that is left, and takes
        what is new; whatever else is asked for waits until all of it is done.

        Returns:
            The id of the new stream.

        Raises:
            OutboxError: the file cannot be written at the moment.
        """
        self._lasting.begin_renumbering()
        return str(self._head("new_stream_id"))

    @property
    def is_renumbering(self) -> bool:
        """Whether a new stream was begun and ``renumber_piece`` has more to do."""
        return self._lasting.is_renumbering

    def renumber_piece(self) -> None:
        """Do some of the renumbering that is under way, in one transaction.

        Raises:
            OutboxError: the file cannot be written at the moment; another call tries again.
        """
        self._lasting.renumber_piece()

    def held_slices(self) -> Iterator[list[SeqRange]]:
        """Seqs of the present stream whose records are here, acked or not, some thousands at a time, as sorted ranges.

        What is accepted meanwhile comes as well.
        """
        first = 1
        while (begin := self._next_held(first)) is not None:
            first = min(begin + SLICE_SEQS, self.next_seq)
            yield self._held_between(begin, first - 1)

    def resend_slices(self, ranges: Iterable[SeqRange]) -> Iterator[list[SeqRange]]:
        """Make acked records of the present stream unacked again, the newest first, some of them in each transaction.

        Yields:
            After each transaction, the parts of what it went over that are not here, or had to be given up where there
            was no room for all.

        Raises:
            OutboxError: the disk is full or failing; some of the records may be unacked already.
        """
        for first, end in sorted(ranges, reverse=True):
            last = end
            while first <= last:
                lowest, lacking = self._lasting.store(partial(self._take_back, (first, last)))
                yield lacking
                last = lowest - 1

    def refused_rows(self) -> int:
        """How many rows were set aside so far."""
        return int(self._head("refused_rows"))

    def set_aside_given_up(self) -> tuple[int, int]:
        """How many dead letters and refused rows are kept no longer: there were too many, or too little room."""
        return int(self._head("dead_letters_given_up")), int(self._head("refused_rows_given_up"))

    def status(self) -> OutboxStatus:
        """How full the outbox is and for how long it will do at the present rate."""
        return self._lasting.surely(lambda: fill_level(self._file, self._settings, *self._rate.per_s()), half_way=True)

    def status_at_last_rate(self) -> OutboxStatus:
        """The same at the rate at which records came last, be it long ago or under another agent."""

        def look() -> OutboxStatus:
            [(records_per_s, bytes_per_s)] = self._file.rows("SELECT records_per_s, bytes_per_s FROM head")
            return fill_level(self._file, self._settings, records_per_s or 0.0, bytes_per_s or 0.0)

        return self._lasting.surely(look, half_way=True)

    @property
    def _file(self) -> OutboxFile:
        return self._lasting.file

    def _store_half_way(self, write: Callable[..., int]) -> int:
        """Records are given up only from a whole numbering: where there is no other room, it is finished first."""
        try:
            return self._lasting.surely(lambda: write(True, SPARE), half_way=True)
        except OutboxError:
            return self._lasting.store(partial(write, order=ORDER))

    def _take_back(self, span: SeqRange, may_grow: bool) -> tuple[int, list[SeqRange]]:
        with self._file.transaction():
            return take_back(self._file, span, self._settings, may_grow=may_grow)

    def _held_between(self, first: int, last: int) -> list[SeqRange]:
        return self._lasting.surely(lambda: held_between(self._file, first, last))

    def _next_held(self, at_least: int) -> int | None:
        return self._lasting.surely(lambda: next_seq_in(self._file, HELD_TABLES, at_least))

    def _tidy(self) -> None:
        limits = self._settings
        expire(
            self._file,
            max_bytes=limits.history_max_bytes,
            acked_before_s=self._age_s() - limits.history_days * 86_400,
        )
        self._file.execute("UPDATE head SET age_s = ?", (self._age_s(),))

    def _seal_gap(self) -> None:
        """No room for a gap record now is no loss: the ranges stay, and the next call tries again."""

        def write() -> None:
            if self._file.rows("SELECT first FROM dropped_range LIMIT 1"):
                with self._file.transaction():
                    seal_gap(self._file, self._now())

        try:
            self._lasting.surely(write)
        except OutboxError as error:
            log.warning("gap_waits", reason=str(error))

    def _head(self, column: str) -> Any:
        return self._lasting.surely(lambda: self._file.head(column), half_way=True)

    def _start_age(self) -> None:
        """The outbox ages only while an agent works with it, so that no jump of the wall clock expires history."""
        self._age_zero_s = self._monotonic_s() - float(self._head("age_s"))

    def _age_s(self) -> float:
        return self._monotonic_s() - self._age_zero_s
