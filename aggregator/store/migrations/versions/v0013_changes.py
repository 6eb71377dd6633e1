"""Rows say in which transaction they were written last, so that whoever follows the fleet can go on where they were."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

CHANGING = ("engine", "gateway", "installation", "current_state", "quarantine")


def upgrade() -> None:
    """Add the numbers; what there is was written before all that anybody follows."""
    for table in CHANGING:
        op.add_column(table, sa.Column("changed", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
        op.create_index(f"ix_{table}_changed", table, ["changed"])
    op.execute("INSERT INTO store_fact (key, value) VALUES ('changes', '0')")


def downgrade() -> None:
    """Take them away again."""
    op.execute("DELETE FROM store_fact WHERE key = 'changes'")
    for table in CHANGING:
        op.drop_index(f"ix_{table}_changed", table)
        op.drop_column(table, "changed")
