"""The store: one SQL database, by URL; where its connections, sessions and migrations come from."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import msgspec
from sqlalchemy import Connection, create_engine, event, insert, make_url, select, text, update
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session, col

from aggregator.store import schema
from aggregator.store.tables import StoreFact
from shared.errors import SettingsError, SpoolwatchError

# PostgreSQL's classes and codes for a connection that failed, no room, an operator who intervened, and a lock.
OUT_OF_REACH = ("08", "53", "57", "55P03")
LOCK_TIMEOUT_S = 5  # a slow disk makes writers queue for seconds; still short enough to stop in time
MIGRATION_LOCK = 7_305_011  # any number of our own: PostgreSQL's advisory locks are known by number


class StoreError(SpoolwatchError):
    """The store cannot be used as it is; the message says what to do."""


class Store:
    """One database; safe to share between threads.

    Raises:
        SettingsError: the URL names no database this program knows.
    """

    def __init__(self, database_url: str) -> None:
        url = _parse(database_url)
        self.engine = _sqlite(url) if url.get_backend_name() == "sqlite" else _postgresql(url)
        self._writer = self.engine.execution_options(writes=True)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is the default store, a file that only this program uses."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def session(self, *, writes: bool = False) -> Iterator[Session]:
        """Open a session; one that ``writes`` takes SQLite's write lock at once, and its caller commits."""
        with Session(self._writer if writes else self.engine) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that writes: committed at the end, rolled back on an error."""
        with self._writer.begin() as connection:
            yield connection

    def migrate(self, version: str = "head", *, down: bool = False) -> None:
        """Bring the tables to this version of the program, or to one of their own versions.

        Args:
            version: ``head``, or a number such as ``0008``; ``base`` is before the first.
            down: whether that may be an older one, which deletes what it has no place for.

        Raises:
            StoreError: a newer version of the program has been here, or the wanted one is older and must not be.
        """
        with self.writing() as connection:
            if not self.is_sqlite:
                connection.execute(text("SET LOCAL statement_timeout = 0"))  # it may have to copy many records
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
            found = schema.revision(connection)
            if found == (schema.head() if version == "head" else version):
                return
            # They are numbered with leading zeros.
            is_older = found is not None and (version == "base" or (version != "head" and version < found))
            if is_older and not down:
                raise StoreError(
                    f"the store {self.engine.url!r} is at version {found}: going down to {version} deletes the tables "
                    "and columns that came since, with all that is in them. Stop the aggregators, make a backup, and "
                    "add --yes"
                )
            try:
                schema.change(connection, version, down=is_older)
            except schema.MigrationError as error:
                raise StoreError(
                    f"the store {self.engine.url!r} cannot be migrated ({error}); "
                    "was it used by a newer version? Install that one"
                ) from error

    def check_migrated(self) -> None:
        """Make sure that the tables are those of this version of the program.

        Raises:
            StoreError: they are not.
        """
        with self.engine.connect() as connection:
            found = schema.revision(connection)
        wanted = schema.head()
        if found != wanted:
            raise StoreError(
                f"the store {self.engine.url!r} is at version {found or 'none'}, "
                f"this program needs {wanted}; run: spoolwatch-aggregator migrate"
            )

    def epoch(self) -> str:
        """The id of this store's history, drawn at its first use."""
        known = self._fact("store_epoch")
        if known is not None:
            return known
        try:
            with self.writing() as connection:
                connection.execute(insert(StoreFact).values(key="store_epoch", value=str(uuid4())))
        except IntegrityError:
            pass  # another replica drew it first
        return self.epoch()

    def renew_epoch(self) -> str:
        """Begin a new history of this store, which tells gateways that it may have lost what they delivered."""
        epoch = str(uuid4())
        self.epoch()
        with self.writing() as connection:
            connection.execute(update(StoreFact).where(col(StoreFact.key) == "store_epoch").values(value=epoch))
        return epoch

    def probe(self) -> None:
        """Write to the store and read it back; raises what the database raises when it cannot."""
        now = datetime.now(UTC).isoformat()
        is_probe = col(StoreFact.key) == "probed_at"
        with self.writing() as connection:
            changed = connection.execute(update(StoreFact).where(is_probe).values(value=now))
            if changed.rowcount == 0:
                connection.execute(insert(StoreFact).values(key="probed_at", value=now))
            if connection.scalar(select(col(StoreFact.value)).where(is_probe)) != now:
                raise StoreError(f"the store {self.engine.url!r} did not return what was just written to it")

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def _fact(self, key: str) -> str | None:
        with self.engine.connect() as connection:
            return connection.scalar(select(col(StoreFact.value)).where(col(StoreFact.key) == key))


def open_store(database_url: str, *, migrate: str | None = None, down: bool = False) -> Store:
    """Open a store for use; SQLite, a file of our own, is made and migrated on the way, a server's if so told.

    Args:
        database_url: which one.
        migrate: to which version of the tables.
        down: whether that may be an older one.

    Raises:
        SettingsError: the URL is wrong, or there is no place for the file.
        StoreError: the store cannot be reached, or is not of this version.
    """
    with ExitStack() as on_failure:
        store = Store(database_url)
        on_failure.callback(store.close)
        try:
            if store.is_sqlite:
                Path(str(store.engine.url.database)).parent.mkdir(parents=True, exist_ok=True)
            if store.is_sqlite or migrate is not None:
                store.migrate(migrate or "head", down=down)
            else:
                store.check_migrated()
        except OSError as error:
            raise SettingsError(
                f"data_dir: there is no place for the store {store.engine.url!r}: {error.strerror}; "
                "name a folder that this user may write to with --data-dir"
            ) from error
        except SQLAlchemyError as error:
            reason = getattr(error, "orig", error)
            raise StoreError(f"the store {store.engine.url!r} cannot be opened: {reason}") from error
        on_failure.pop_all()
    return store


def open_existing_store(database_url: str) -> Store:
    """Open a store that somebody uses already, so that a command never makes another one by mistake.

    Raises:
        SettingsError: the URL is wrong.
        StoreError: there is no store, it cannot be reached, or is not of this version.
    """
    store = Store(database_url)
    file = Path(str(store.engine.url.database))
    store.close()
    try:
        if store.is_sqlite:
            file.stat()
    except FileNotFoundError as error:
        raise StoreError(
            f"there is no store at {file}: start `spoolwatch-aggregator serve` or run `spoolwatch-aggregator migrate` "
            "first, or say with --data-dir or --config where the aggregator keeps its store"
        ) from error
    except OSError as error:
        raise StoreError(
            f"the store {file} cannot be opened: {error.strerror}; run this as the aggregator's user"
        ) from error
    return open_store(database_url)


def check_reachable(database_url: str) -> None:
    """Make sure that a server answers within seconds; a file of SQLite may be made later.

    Raises:
        SettingsError: the URL is wrong, or nobody answers there.
    """
    store = Store(database_url)
    try:
        if not store.is_sqlite:
            with store.engine.connect() as connection:
                connection.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        reason = getattr(error, "orig", error)
        raise SettingsError(f"database_url: {store.engine.url!r} does not answer: {reason}") from error
    finally:
        store.close()


def _parse(database_url: str) -> URL:
    try:
        url = make_url(database_url)
    except ArgumentError as error:
        raise SettingsError(f"database_url: {error}") from error
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise SettingsError(f"database_url: {url!r} must start with sqlite:/// or postgresql://")
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise SettingsError("database_url: a store in memory forgets everything; name a file: sqlite:///FILE")
    return url


def rest_s(took_s: float) -> float:
    """How long to leave the store to others between two transactions of long work, in seconds.

    As long as the last one took, and no less than it takes others to notice: SQLite gives the lock to whoever asks
    first, and lets one who waits look again ten times a second.

    >>> rest_s(0.01), rest_s(2.0)
    (0.1, 2.0)
    """
    return max(0.1, took_s)


def is_out_of_reach(error: Exception) -> bool:
    """Whether others have held a database for too long, or nobody answers for it: later the same may be done."""
    if isinstance(error, PoolTimeoutError):
        return True
    if not isinstance(error, OperationalError):
        return False
    if isinstance(error.orig, sqlite3.Error):
        return error.orig.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    sqlstate = getattr(error.orig, "sqlstate", None)
    return error.connection_invalidated or sqlstate is None or sqlstate.startswith(OUT_OF_REACH)


def _to_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _create(url: URL, **options: Any) -> Engine:
    return create_engine(url, json_serializer=_to_json, json_deserializer=msgspec.json.decode, **options)


def _sqlite(url: URL) -> Engine:
    engine = _create(url.set(drivername="sqlite"), connect_args={"timeout": LOCK_TIMEOUT_S})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    # sqlite3 would begin transactions by itself, later than we need and never as writers.
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A reader that turns writer fails at once when another one wrote meanwhile; a writer that says so waits.
    if connection.get_execution_options().get("writes", False):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        # Nothing is locked or waited for yet: SQLAlchemy would take longer about it than SQLite about a short read.
        cast(sqlite3.Connection, connection.connection.driver_connection).execute("BEGIN")


def _postgresql(url: URL) -> Engine:
    connect_args: dict[str, Any] = {
        "connect_timeout": LOCK_TIMEOUT_S,
        "tcp_user_timeout": 5000,
        "options": f"-c lock_timeout={LOCK_TIMEOUT_S}s -c statement_timeout=30s -c timezone=UTC",
    }
    return _create(url.set(drivername="postgresql+psycopg"), connect_args=connect_args, pool_pre_ping=True)
