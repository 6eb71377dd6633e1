"""A real PostgreSQL: one server for the whole run, a new database for each test."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from itertools import count
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

DEADLINE_S = 60.0
INITDB = ("--auth=trust", "--no-sync", "--encoding=UTF8", "--no-locale")


def _program(name):
    places = [str(folder) for folder in Path("/usr/lib/postgresql").glob("*/bin")]
    found = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *sorted(places, reverse=True)]))
    # A wrapper of the same name in PATH may lead to the same program; either will do.
    assert found, "PostgreSQL is missing: install Debian's package postgresql"
    return found


class PostgresqlServer:
    """PostgreSQL as a child process on a Unix socket; it refuses root, so it then runs as user postgres."""

    def __init__(self):
        user = "postgres" if os.geteuid() == 0 else None
        self._run_as = {"user": user, "group": user, "extra_groups": []} if user else {}
        self._folder = Path(tempfile.mkdtemp(prefix="spoolwatch-postgresql-"))
        if user:
            shutil.chown(self._folder, user, user)
        self._cluster = self._folder / "cluster"
        self._numbers = count(1)
        self._process = None

    def start(self):
        if not self._cluster.exists():
            subprocess.run(
                [_program("initdb"), "-D", self._cluster, "-U", "spoolwatch", *INITDB],
                cwd=self._folder,
                stdout=subprocess.DEVNULL,
                check=True,
                **self._run_as,
            )
        self._process = subprocess.Popen(
            [_program("postgres"), "-D", self._cluster, "-k", self._folder, "-h", "", "-c", "fsync=off"],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._run_as,
        )
        self._wait_until_ready()

    def _wait_until_ready(self):
        until = time.monotonic() + DEADLINE_S
        while True:
            try:
                psycopg.connect(self._conninfo()).close()
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
            else:
                return

    def new_database(self, template="template1"):
        """The URL of a new database: an empty one, or a copy of one that nobody is connected to."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self._conninfo(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return f"postgresql://spoolwatch@/{name}?host={self._folder}"

    def drop_database(self, name):
        """Drop a database when its test ends: hundreds at once, at the very end, would take half a minute."""
        with psycopg.connect(self._conninfo(), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _conninfo(self):
        return f"host={self._folder} user=spoolwatch dbname=postgres"

    def stop(self):
        """At once, as its administrators stop it: clients are thrown out."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(DEADLINE_S)

    def remove(self):
        shutil.rmtree(self._folder)


@pytest.fixture(scope="session")
def postgresql_server():
    server = PostgresqlServer()
    server.start()
    yield server
    server.stop()
    server.remove()


@pytest.fixture
def postgresql_url(postgresql_server):
    url = postgresql_server.new_database()
    yield url
    postgresql_server.drop_database(make_url(url).database)
