"""No id of the quarantine is given twice: SQLite would give the highest one again once it is gone."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make SQLite's table anew, with all that is in it; PostgreSQL's ids come from a sequence already."""
    if op.get_bind().dialect.name == "sqlite":
        with op.batch_alter_table("quarantine", recreate="always", table_kwargs={"sqlite_autoincrement": True}):
            pass


def downgrade() -> None:
    """Make SQLite's table anew, whose highest id may then be given again."""
    if op.get_bind().dialect.name == "sqlite":
        with op.batch_alter_table("quarantine", recreate="always"):
            pass
