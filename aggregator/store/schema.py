"""The version of a store's tables; Alembic, dear to import, only where it has to change.

Versions are the files of ``migrations/versions``, ``v0008_quarantine_ids.py`` and so on: one line, numbered in order.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from shared.errors import SpoolwatchError

MIGRATIONS = Path(__file__).parent / "migrations"


class MigrationError(SpoolwatchError):
    """The tables cannot be brought to the wanted version."""


def head() -> str:
    """The version of this program, such as ``0018``."""
    newest = max(file.name for file in (MIGRATIONS / "versions").glob("v*_*.py"))
    return newest[1:].partition("_")[0]


def revision(connection: Connection) -> str | None:
    """The version of a database's tables; None before the first."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def change(connection: Connection, version: str, *, down: bool) -> None:
    """Bring the tables to another version, in the transaction that the connection is in.

    Raises:
        MigrationError: there is no way to it.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        (command.downgrade if down else command.upgrade)(config, version)
    except CommandError as error:
        raise MigrationError(str(error)) from error
