"""Lists by risk and by remaining life are read by an index."""

from alembic import op

revision = "0017"
down_revision = "0016"

COLUMNS = ("rul_q05_cycles", "rul_q50_cycles")


def upgrade() -> None:
    """Add the indexes."""
    for column in COLUMNS:
        op.create_index(f"ix_current_state_{column}", "current_state", [column])


def downgrade() -> None:
    """Take them away."""
    for column in COLUMNS:
        op.drop_index(f"ix_current_state_{column}", "current_state")
