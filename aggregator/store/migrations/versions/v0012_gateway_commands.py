"""What people ask of gateways, and what became of it."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Make the table, which is empty at first."""
    at = sa.DateTime(timezone=True)
    op.create_table(
        "gateway_command",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("gateway_id", sa.Integer(), nullable=False),
        sa.Column("engine_id", sa.Integer(), nullable=True),
        sa.Column("asked", sa.JSON(), nullable=False),
        sa.Column("issued_at", at, nullable=False),
        sa.Column("expires_at", at, nullable=False),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("answered_at", at, nullable=True),
        sa.Column("unavailable", sa.JSON(), nullable=True),
        sa.Column("cycle", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateway.id"], name="fk_gateway_command_gateway_id"),
        sa.ForeignKeyConstraint(["engine_id"], ["engine.id"], name="fk_gateway_command_engine_id"),
        sa.PrimaryKeyConstraint("id", name="pk_gateway_command"),
    )
    op.create_index("ix_gateway_command_gateway_id_issued_at_id", "gateway_command", ["gateway_id", "issued_at", "id"])


def downgrade() -> None:
    """Drop it, with all that is in it."""
    op.drop_table("gateway_command")
