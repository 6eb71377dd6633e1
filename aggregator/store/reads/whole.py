"""Reads all rows of a statement at once, however busy the other threads are."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Connection, Dialect, Select, func, select
from sqlmodel import Session


def read_whole(
    session: Session | Connection, statement: Select[Any], parameters: Mapping[str, Any] | None = None
) -> Sequence[Any]:
    """All rows, by the place of their columns, in the order of the statement.

    Python's SQLite gives the interpreter away at each row and takes it back behind every other thread: beside a busy
    event loop ten thousand rows take seconds. So SQLite makes one row of all, as JSON, with 15 digits of each float.
    """
    connection = session if isinstance(session, Connection) else session.connection()
    if connection.dialect.name != "sqlite":
        return connection.execute(statement, parameters).all()
    gathered, processors = _gathered(statement, connection.dialect)
    rows: list[list[Any]] = msgspec.json.decode(connection.scalar(gathered, parameters) or "[]")
    if not processors:
        return rows
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
    for place, process in processors.items() if rows else ():
        columns[place] = [process(value) for value in columns[place]]
    return list(zip(*columns, strict=True))


@lru_cache(maxsize=64)
def _gathered(statement: Select[Any], dialect: Dialect) -> tuple[Select[Any], dict[int, Any]]:
    """The statement that makes one value of all rows, and what turns columns of it into Python."""
    rows = statement.subquery()
    impls = (column.type.dialect_impl(dialect) for column in rows.c)
    processors = {place: impl.result_processor(dialect, None) for place, impl in enumerate(impls)}
    gathered = select(func.json_group_array(func.json_array(*rows.c)))
    return gathered, {place: process for place, process in processors.items() if process is not None}
