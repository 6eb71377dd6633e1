"""No engine hangs twice, no position holds two; what is installed has an age, what is quarantined an engine."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the two rules, and columns that stay empty for what there is."""
    op.add_column("installation", sa.Column("installation_cycle", sa.Integer(), nullable=True))
    still = sa.text("installed_to IS NULL")
    for name, columns in (("engine_id", ["engine_id"]), ("position", ["gateway_id", "position"])):
        op.create_index(
            f"uq_installation_{name}_still",
            "installation",
            columns,
            unique=True,
            sqlite_where=still,
            postgresql_where=still,
        )
    op.create_index("ix_installation_installed_from_id", "installation", ["installed_from", "id"])
    op.add_column("quarantine", sa.Column("engine", sa.String(), nullable=True))
    for column in ("gateway", "engine"):
        op.create_index(f"ix_quarantine_{column}_id", "quarantine", [column, "id"])


def downgrade() -> None:
    """Drop the rules, and forget ages and which engines quarantined records name."""
    for column in ("gateway", "engine"):
        op.drop_index(f"ix_quarantine_{column}_id", "quarantine")
    op.drop_column("quarantine", "engine")
    op.drop_index("ix_installation_installed_from_id", "installation")
    for name in ("engine_id", "position"):
        op.drop_index(f"uq_installation_{name}_still", "installation")
    op.drop_column("installation", "installation_cycle")
