"""What is pruned is kept as sums of days, and what only one of several aggregators does has a lease."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make both tables, which are empty at first."""
    op.create_table(
        "day_roll_up",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("engine_id", sa.Integer(), nullable=False),
        sa.Column("installation_id", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("first_cycle", sa.Integer(), nullable=False),
        sa.Column("last_cycle", sa.Integer(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("quantities", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "engine_id", "installation_id", "day", name="pk_day_roll_up"),
    )
    op.create_table(
        "lease",
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("task", name="pk_lease"),
    )


def downgrade() -> None:
    """Forget the sums of what was pruned."""
    op.drop_table("lease")
    op.drop_table("day_roll_up")
