"""Backs the store up while it is in use, and puts a backup in its place as a new history of the store."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from aggregator.store.database import Store, StoreError, open_store
from aggregator.store.dumps import dump, put_back


@contextmanager
def in_use(store: Store, *, alone: bool = False) -> Iterator[None]:
    """Mark a SQLite store as in use by this process; servers look after themselves.

    Args:
        store: which one.
        alone: whether nobody else may use it meanwhile.

    Raises:
        StoreError: another process uses it in a way that excludes this one.
    """
    if not store.is_sqlite:
        yield
        return
    path = _path(store)
    with path.with_name(path.name + ".in-use").open("w") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(f"the store {path} is in use; stop the aggregator that serves it") from error
        yield


def back_up(store: Store, target: Path) -> None:
    """Copy the store as it is at one instant; it may be served meanwhile.

    Raises:
        StoreError: the copy cannot be made.
    """
    if target.exists():
        raise StoreError(f"{target} exists already; name a new file")
    try:
        if not store.is_sqlite:
            dump(store, target)
            return
        with TemporaryDirectory(dir=target.parent, prefix=".backup-") as folder:
            copy = Path(folder) / target.name
            _copy(_path(store), copy)
            os.replace(copy, target)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"the backup {target} cannot be made: {error}") from error


def restore(store: Store, backup: Path) -> str:
    """Put a backup in the place of the store; overwrite nothing.

    A SQLite file stays beside it with the ending ``.replaced``; a database on a server has to be empty.

    Returns:
        The store's new epoch: it tells the gateways to offer again what they still hold.

    Raises:
        StoreError: the store is in use, something would be overwritten, or the backup cannot be used.
    """
    if not store.is_sqlite:
        return put_back(store, backup)
    _check(backup)
    path = _path(store)
    if path.exists() and _replaced(path).exists():
        raise StoreError(f"{_replaced(path)} of an earlier restore is there still; move it away or delete it first")
    path.parent.mkdir(parents=True, exist_ok=True)
    with in_use(store, alone=True):
        try:
            with TemporaryDirectory(dir=path.parent, prefix=".restore-") as folder:
                copy = Path(folder) / path.name
                _copy(backup, copy)
                restored = open_store(f"sqlite:///{copy}")
                epoch = restored.renew_epoch()
                restored.close()
                _keep_replaced(path)
                os.replace(copy, path)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"the backup {backup} cannot be put at {path}: {error}") from error
    return epoch


def _path(store: Store) -> Path:
    return Path(str(store.engine.url.database))


def _replaced(path: Path) -> Path:
    return path.with_name(path.name + ".replaced")


def _check(backup: Path) -> None:
    try:
        with closing(sqlite3.connect(f"{backup.absolute().as_uri()}?mode=ro", uri=True)) as source:
            (found,) = source.execute("PRAGMA quick_check(1)").fetchone()
            source.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"{backup} is no backup of a store: {error}") from error
    if found != "ok":
        raise StoreError(f"the backup {backup} is damaged: {found}")


def _copy(source: Path, target: Path) -> None:
    """Copy a database that may be written to meanwhile; the copy is one file, on disk."""
    uri = f"{source.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as reading, closing(sqlite3.connect(target)) as writing:
        reading.backup(writing)
        writing.execute("PRAGMA journal_mode = DELETE")
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _keep_replaced(path: Path) -> None:
    """Leave no journal of the old file behind, which SQLite would apply to the new one."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as old:
        old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if path.exists():
        os.link(path, _replaced(path))
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
