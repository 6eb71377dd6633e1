"""An SQLite file, the outbox's or another: errors told apart, its size, and a reserve for a full disk."""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from edge_agent.outbox.layout import OUTBOX, Layout
from shared.errors import SpoolwatchError

LOG_BYTES = 4 * 2**20
FLOOR_BYTES = 4 * 2**20
# On a disk without any space: enough to start the log over and to grow to the floor.
RESERVE_BYTES = LOG_BYTES + FLOOR_BYTES
SLACK_PAGES = 256
# Reading and writing happen at the ends of the tables: SQLite's 2 MB make nothing faster.
CACHE_BYTES = 512 * 1024
RECORD_TABLES = ("telemetry", "prediction", "gap")

# A number in the header that no release will reach is not a version.
_LAST_VERSION = 1000

_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_BARRED = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_DISK = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)

Parameters = Sequence[object]


class OutboxError(SpoolwatchError):
    """The outbox, or the ring of samples beside it, cannot be read or written at the moment."""


class DiskError(OutboxError):
    """The disk is full or failing."""


class DamagedError(OutboxError):
    """The file is not what this program wrote."""


class OutboxFile:
    """One open file; used from one thread.

    Args:
        path: the SQLite file; made where there is none.
        read_only: only look; the file must exist, and another process may be writing it.
        layout: what lies in it.

    Raises:
        DamagedError: what lies there is no file of this kind or a damaged one.
        OutboxError: the file cannot be opened for now, or is of another version.
    """

    def __init__(self, path: Path, *, read_only: bool = False, layout: Layout = OUTBOX) -> None:
        self.path = path
        self._layout = layout
        self._what = f"{layout.name} {path}"
        self.read_only = read_only
        self._reserve = path.with_name(f"{path.name}.reserve")
        try:
            self._open()
        except DiskError:
            self._give_up_reserve()
            self._open()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def execute(self, statement: str, parameters: Parameters = ()) -> int:
        """Run one statement; returns how many rows it changed."""
        with self._named_errors():
            return self._db.execute(statement, parameters).rowcount

    def execute_many(self, statement: str, parameters: Iterable[Parameters]) -> None:
        """Run one statement for each set of parameters."""
        with self._named_errors():
            self._db.executemany(statement, parameters)

    def rows(self, query: str, parameters: Parameters = ()) -> list[Any]:
        """Every row that a query gives."""
        with self._named_errors():
            return self._db.execute(query, parameters).fetchall()

    def one(self, query: str, parameters: Parameters = ()) -> Any:
        """The first value of a query that gives a row."""
        return self.rows(query, parameters)[0][0]

    def head(self, column: str) -> Any:
        """One column of the outbox's only row of its kind."""
        return self.one(f"SELECT {column} FROM head")  # noqa: S608  # our column

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[None]:
        """All or nothing; fsynced when it ends if ``durable``, else with the next one that is."""
        self._check_in_place()
        self.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._db.rollback()
            raise

    def used_pages(self) -> int:
        """Pages of the file that hold something."""
        return int(self.one("PRAGMA page_count")) - self.free_pages()

    def free_pages(self) -> int:
        """Pages inside the file that hold nothing."""
        return int(self.one("PRAGMA freelist_count"))

    @property
    def page_bytes(self) -> int:
        """Size of one page."""
        return int(self.one("PRAGMA page_size"))

    def disk_free_bytes(self) -> int:
        """What the file system would still give to this user."""
        try:
            disk = os.statvfs(self.path.parent)
        except OSError as error:
            raise DiskError(f"cannot tell the free space of {self.path.parent}: {error.strerror}") from error
        return disk.f_bavail * disk.f_frsize

    def size_bytes(self) -> int:
        """Size of the file and its log on the disk."""
        size = 0
        for path in (self.path, self.path.with_name(f"{self.path.name}-wal")):
            with suppress(FileNotFoundError):
                size += path.stat().st_size
        return size

    def give_back(self) -> None:
        """Return free pages beyond a slack to the disk, some at a time."""
        if self.free_pages() > SLACK_PAGES:
            with self._named_errors():
                # A script, because execute() takes a single step of this statement, which is one page.
                self._db.executescript(f"PRAGMA incremental_vacuum({SLACK_PAGES})")

    def relieve(self) -> None:
        """After a failed write: give up the reserve, and start the log over if its end was the trouble."""
        self._give_up_reserve()
        with suppress(OutboxError):
            self.empty_log()

    def empty_log(self) -> None:
        """Move what is in the log into the file."""
        self.rows("PRAGMA wal_checkpoint(RESTART)")

    def keep_reserve(self) -> None:
        """Hold some disk space against the day on which there is none."""
        if self._reserve.exists():
            return
        try:
            with self._reserve.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
        except OSError:
            self._give_up_reserve()

    def _give_up_reserve(self) -> None:
        with suppress(OSError):  # a disk gone read-only takes not even this
            self._reserve.unlink()

    def _open(self) -> None:
        if not self.read_only and self._is_log_without_file():
            raise DamagedError(f"the {self._what} is empty but has a write-ahead log")
        mode = "ro" if self.read_only else "rwc"
        if self.read_only and self._is_at_rest():
            mode += "&immutable=1"
        with self._named_errors():
            self._db = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode={mode}", isolation_level=None, uri=True)
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        self._inode = self.path.stat().st_ino
        if not self.read_only:
            self.rows("PRAGMA auto_vacuum = INCREMENTAL")
            self.rows("PRAGMA journal_mode = WAL")
            self.rows(f"PRAGMA wal_autocheckpoint = {LOG_BYTES // self.page_bytes}")
            self.rows(f"PRAGMA journal_size_limit = {LOG_BYTES}")
            self.rows("PRAGMA secure_delete = OFF")
            self.rows(f"PRAGMA cache_size = -{CACHE_BYTES // 1024}")
            if self.one("SELECT count(*) FROM sqlite_master") == 0:
                self._make_tables()
        self._check()

    def _make_tables(self) -> None:
        with self.transaction():
            for statement in filter(str.strip, self._layout.tables.split(";")):
                self.execute(statement)
            self._layout.begin(self.execute)
            self.execute(f"PRAGMA application_id = {self._layout.application_id}")
            self.execute(f"PRAGMA user_version = {self._layout.version}")

    def _check(self) -> None:
        if self.read_only and self.one("SELECT count(*) FROM sqlite_master") == 0:
            raise OutboxError(
                f"the {self._what} has nothing in it yet, as in the moment in which it is made; ask again"
            )
        version = self.one("PRAGMA user_version")
        if self.one("PRAGMA application_id") != self._layout.application_id:
            raise DamagedError(f"{self.path} is no {self._layout.name} but another database")
        if not 0 < version <= _LAST_VERSION:
            raise DamagedError(f"the {self._what} says that it is of version {version}, which there is not")
        if version in self._layout.migrations:
            version = self._migrated(version)
        if version != self._layout.version:
            raise OutboxError(
                f"the {self._what} is of version {version}; this agent reads version {self._layout.version}"
            )
        if len(self.rows("SELECT * FROM head")) != 1:
            raise DamagedError(f"the {self._what} has lost its head")

    def _migrated(self, version: int) -> int:
        """Bring the tables to the present version, in one transaction; who only looks can do without."""
        if not self.read_only:
            with self.transaction():
                for older in range(version, self._layout.version):
                    for statement in self._layout.migrations[older]:
                        self.execute(statement)
                self.execute(f"PRAGMA user_version = {self._layout.version}")
        return self._layout.version

    def _check_in_place(self) -> None:
        """SQLite would go on writing into a deleted file until the log is full."""
        try:
            in_place = self.path.stat().st_ino == self._inode
        except FileNotFoundError:
            in_place = False
        if not in_place:
            raise DamagedError(f"the {self._what} was deleted or replaced under the running agent")

    def _is_log_without_file(self) -> bool:
        """SQLite would throw such a log away without a word."""
        log = self.path.with_name(f"{self.path.name}-wal")
        empty = not self.path.exists() or self.path.stat().st_size == 0
        return empty and log.exists() and log.stat().st_size > 0

    def _is_at_rest(self) -> bool:
        """A file without a log that lies where we may not write: SQLite would want to make one to read it."""
        log = self.path.with_name(f"{self.path.name}-wal")
        return not log.exists() and not os.access(self.path.parent, os.W_OK)

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._named(error) from error

    def _named(self, error: sqlite3.Error) -> OutboxError:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        what = f"cannot read or write the {self._what}: {error}"
        if code in _BARRED:
            if self.path.exists() and not self.path.is_file():
                return DamagedError(what)
            return OutboxError(f"{what}; look at its owner and permissions, and at the limit of open files")
        return DamagedError(what) if code in _DAMAGE else DiskError(what) if code in _DISK else OutboxError(what)
