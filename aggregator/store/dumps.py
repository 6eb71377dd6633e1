"""Backs up and restores a store on a PostgreSQL server, with the tools that come with PostgreSQL."""

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError

from aggregator.store.database import Store, StoreError, open_store


def dump(store: Store, target: Path) -> None:
    """Write the store as it is at one instant into a file, which must not exist yet.

    Raises:
        StoreError: the tool is missing or fails.
    """
    with TemporaryDirectory(dir=target.parent, prefix=".backup-") as folder:
        copy = Path(folder) / target.name
        _run("pg_dump", store, "--format=custom", f"--file={copy}", _uri(store))
        with copy.open("rb") as file:
            os.fsync(file.fileno())
        copy.replace(target)


def put_back(store: Store, backup: Path) -> str:
    """Fill an empty database with a dump, and begin a new history of the store. Returns its epoch.

    Raises:
        StoreError: the database is not empty, or the tool is missing or fails: then nothing was restored. Or what was
            restored could not be given its epoch or be migrated: then the message says what is left to do.
    """
    if inspect(store.engine).get_table_names():
        raise StoreError(
            f"the database {store.engine.url!r} is not empty, and a restore overwrites nothing: make a new one "
            "(createdb NAME) and give its URL with --database-url; if a restore of it was cut off, drop it"
        )
    _run(
        "pg_restore",
        store,
        *("--single-transaction", "--exit-on-error", "--no-owner", f"--dbname={_uri(store)}", str(backup)),
    )
    try:
        epoch = store.renew_epoch()  # first of all: a store that was not migrated is served by nobody
    except SQLAlchemyError as error:
        reason = getattr(error, "orig", error)
        raise StoreError(
            f"the database {store.engine.url!r} is restored, but under its old epoch still ({reason}); before it is "
            "served, run: spoolwatch-aggregator migrate; spoolwatch-aggregator new-epoch"
        ) from error
    open_store(store.engine.url.render_as_string(hide_password=False), migrate="head").close()
    return epoch


def _uri(store: Store) -> str:
    """As PostgreSQL's tools take it, without the password, which every user of the machine could read there."""
    return store.engine.url.set(drivername="postgresql", password=None).render_as_string()


def _run(tool: str, store: Store, *arguments: str) -> None:
    program = shutil.which(tool)
    if program is None:
        raise StoreError(f"{tool} is not installed: it comes with PostgreSQL's client (Debian: postgresql-client)")
    password = {} if store.engine.url.password is None else {"PGPASSWORD": str(store.engine.url.password)}
    done = subprocess.run([program, *arguments], env=os.environ | password, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StoreError(f"{tool} failed: {done.stderr.strip()}")
