"""Raw samples that were fetched from gateways have a place for a while."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "fetched_samples",
        sa.Column("command_id", sa.String(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("channels", sa.JSON(), nullable=False),
        sa.Column("lines", sa.LargeBinary(), nullable=False),
        sa.Column("is_last", sa.Boolean(), nullable=False),
        sa.Column("is_cut", sa.Boolean(), nullable=False),
        sa.Column("oldest_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["command_id"], ["gateway_command.id"], name="fk_fetched_samples_command_id"),
        sa.PrimaryKeyConstraint("command_id", "part", name="pk_fetched_samples"),
    )


def downgrade() -> None:
    """Forget them; gateways that still keep them can be asked again."""
    op.drop_table("fetched_samples")
