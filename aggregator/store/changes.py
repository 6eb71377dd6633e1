"""Numbers what changes, so that whoever has read up to a number can go on from there, through whichever replica."""

from sqlalchemy import Connection, text
from sqlalchemy.engine.default import DefaultExecutionContext

COUNTER = "changes"  # the fact that SQLite counts transactions in

_KEY = "spoolwatch_change"
# SQLite has one writer at a time: what it counts, it commits in that order. PostgreSQL numbers its transactions, and
# knows of each number whether all before it are over.
_DRAW = {
    "sqlite": f"UPDATE store_fact SET value = CAST(value AS INTEGER) + 1 WHERE key = '{COUNTER}' "  # noqa: S608
    "RETURNING CAST(value AS INTEGER)",
    "postgresql": "SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)",
}
_SETTLED = {
    "sqlite": f"SELECT CAST(value AS INTEGER) + 1 FROM store_fact WHERE key = '{COUNTER}'",  # noqa: S608
    "postgresql": "SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)",
}


def draw_number(context: DefaultExecutionContext) -> int:
    """The number of the transaction that writes: what a column ``changed`` gets by itself with every row written."""
    connection = context.root_connection
    drawn_in, number = connection.info.get(_KEY, (None, 0))
    if drawn_in is not connection.get_transaction():
        number = _scalar(connection, _DRAW)
        connection.info[_KEY] = connection.get_transaction(), number
    return int(number)


def settled_before(connection: Connection) -> int:
    """The number below which whatever was ever written is committed and can be read, and nothing will be added."""
    return _scalar(connection, _SETTLED)


def _scalar(connection: Connection, statements: dict[str, str]) -> int:
    return int(connection.execute(text(statements[connection.dialect.name])).scalar_one())
