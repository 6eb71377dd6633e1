"""The store under the aggregator, SQLite or PostgreSQL, and what may happen to it."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import psycopg
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from tests.crash_matrix.programs import START_S, wait_until

DATABASE_USER = "spoolwatch"
_LOCK_S = 15

CentreCommand = Callable[..., None]
"""Runs a command of the aggregator on this store."""


class Database(Protocol):
    """One store."""

    url: str

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Look at it without the aggregator, as it is at one instant."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep everybody else from writing to it."""

    def back_up(self, centre: CentreCommand, backup: Path) -> None:
        """Copy it while it is served, in the way that the aggregator's documentation names."""

    def restore(self, centre: CentreCommand, backup: Path) -> None:
        """Set it back to a copy while it is not served."""

    def close(self) -> None:
        """End it."""


class Sqlite:
    """A SQLite file."""

    def __init__(self, path: Path) -> None:
        self.url = f"sqlite:///{path}"
        self.path = path
        self._engine = create_engine(self.url, poolclass=NullPool, connect_args={"timeout": _LOCK_S})

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """See ``Database``."""
        with self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection

    @contextmanager
    def locked(self) -> Iterator[None]:
        """See ``Database``."""
        with self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield
            connection.exec_driver_sql("ROLLBACK")

    def back_up(self, centre: CentreCommand, backup: Path) -> None:
        """See ``Database``."""
        centre("backup", str(backup))

    def restore(self, centre: CentreCommand, backup: Path) -> None:
        """See ``Database``."""
        self.path.with_name(self.path.name + ".replaced").unlink(missing_ok=True)
        centre("restore", str(backup))

    def close(self) -> None:
        """See ``Database``."""


class Postgresql:
    """A PostgreSQL server of our own on a Unix socket; it refuses root, so it then runs as user postgres."""

    def __init__(self) -> None:
        user = "postgres" if os.geteuid() == 0 else None
        self._run_as: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if user else {}
        self._folder = Path(tempfile.mkdtemp(prefix="spoolwatch-postgresql-"))
        if user:
            shutil.chown(self._folder, user, user)
        self._cluster = self._folder / "cluster"
        self._process: subprocess.Popen[bytes] | None = None
        initdb = ("--auth=trust", "--no-sync", "--encoding=UTF8", "--no-locale", "-U", DATABASE_USER)
        self._run(["initdb", "-D", self._cluster, *initdb])
        self.start()
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            connection.execute("CREATE DATABASE spoolwatch")
        self.url = f"postgresql://{DATABASE_USER}@/spoolwatch?host={self._folder}"
        driver = self.url.replace("postgresql:", "postgresql+psycopg:")
        self._engine = create_engine(driver, poolclass=NullPool)

    @property
    def _conninfo(self) -> str:
        return f"host={self._folder} user={DATABASE_USER} dbname=postgres"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        # Nothing cuts the power of the centre here, so its own fsync would only take time.
        self._process = subprocess.Popen(
            [_postgresql_program("postgres"), "-D", self._cluster, "-k", self._folder, "-h", "", "-c", "fsync=off"],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._run_as,
        )
        wait_until(self._answers, START_S, "PostgreSQL answers")

    def crash(self) -> None:
        """End the server at once, without a checkpoint, as ``pg_ctl stop -m immediate`` does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(START_S)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """See ``Database``."""
        with self._engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
            yield connection

    @contextmanager
    def locked(self) -> Iterator[None]:
        """See ``Database``."""
        with self._engine.begin() as connection:
            connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_S}s'"))
            connection.execute(text("LOCK TABLE receipt, telemetry IN ACCESS EXCLUSIVE MODE"))
            yield

    def back_up(self, centre: CentreCommand, backup: Path) -> None:
        """See ``Database``."""
        centre("backup", str(backup))

    def restore(self, centre: CentreCommand, backup: Path) -> None:
        """See ``Database``."""
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            connection.execute("DROP DATABASE spoolwatch WITH (FORCE)")
            connection.execute("CREATE DATABASE spoolwatch")
        centre("restore", str(backup))

    def close(self) -> None:
        """See ``Database``."""
        self.crash()
        shutil.rmtree(self._folder)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._conninfo).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, command: list[object]) -> None:
        name, *arguments = map(str, command)
        subprocess.run(
            [_postgresql_program(name), *arguments],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            check=True,
            **self._run_as,
        )


def lock_now_and_then(database: Database, until_s: float, locked_s: float) -> None:
    """Be slow: hold the lock most of the time, until an instant of the monotonic clock."""
    while time.monotonic() < until_s:
        try:
            with database.locked():
                time.sleep(locked_s)
        except OperationalError:  # the aggregator held it for too long, which is its right
            continue
        time.sleep(locked_s / 10)


def _postgresql_program(name: str) -> str:
    places = [str(folder) for folder in Path("/usr/lib/postgresql").glob("*/bin")]
    found = shutil.which(name, path=os.pathsep.join([*sorted(places, reverse=True), os.environ["PATH"]]))
    if found is None:
        raise FileNotFoundError("no PostgreSQL: install Debian's package postgresql")
    return found
