"""Writes many rows with few statements of the driver: where the time of ingest goes, and where a database differs.

SQLite gets many rows per statement, because its driver lets other threads run only while a statement runs, and
taking the interpreter back costs more than a row does. PostgreSQL gets a COPY.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import msgspec
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

Values = tuple[Any, ...]

# Few sizes, so that the driver finds each of its statements prepared.
_PORTIONS = (256, 64, 16, 4, 1)

_spell = msgspec.json.Encoder().encode
_SPELT_LENGTH = len('"2026-11-21T06:00:00.000001Z"')


def utc_text(at: datetime) -> str:
    """Spell an aware time the way both databases take it, and as SQLAlchemy reads it back from SQLite.

    >>> utc_text(datetime(2026, 11, 21, 6, tzinfo=UTC))
    '2026-11-21 06:00:00.000000'
    """
    if at.tzinfo is not UTC:  # nearly all are, and the conversion costs more than the spelling
        at = at.astimezone(UTC)
    spelt = _spell(at)  # as JSON, a tenth of what isoformat takes, and without microseconds where there are none
    if len(spelt) != _SPELT_LENGTH:
        return at.isoformat(" ", "microseconds")[:26]
    return spelt[1:27].replace(b"T", b" ").decode()


def insert_rows(connection: Connection, table: str, columns: Sequence[str], rows: Sequence[Values]) -> None:
    """Insert rows of plain values; times are spelt by ``utc_text``, JSON as text.

    Raises:
        DBAPIError: as SQLAlchemy raises it.
    """
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        _insert_by_portions(connection, table, columns, rows)
    else:
        _copy(connection, table, columns, rows)


def _insert_by_portions(connection: Connection, table: str, columns: Sequence[str], rows: Sequence[Values]) -> None:
    insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "  # noqa: S608  # names of our own tables
    places = f"({', '.join('?' * len(columns))})"
    done = 0
    for portion in _PORTIONS:
        statement = insert + ", ".join([places] * portion)
        while len(rows) - done >= portion:
            values = tuple(chain.from_iterable(rows[done : done + portion]))
            connection.exec_driver_sql(statement, values)
            done += portion


def _copy(connection: Connection, table: str, columns: Sequence[str], rows: Sequence[Values]) -> None:
    import psycopg  # which the store in a file can do without
    from psycopg.sql import SQL, Identifier

    driver = connection.connection.driver_connection
    statement = SQL("COPY {} ({}) FROM STDIN").format(Identifier(table), SQL(", ").join(map(Identifier, columns)))
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:  # type: ignore[union-attr]  # it is open
            for row in rows:
                copy.write_row(row)
    except psycopg.Error as error:
        raise DBAPIError.instance(f"COPY {table}", None, error, psycopg.Error, dialect=connection.dialect) from error
