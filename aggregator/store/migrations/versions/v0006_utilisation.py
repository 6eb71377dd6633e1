"""How many cycles an engine flies per day: as somebody enters it, and as it is measured by some of its rows."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add both; what was recorded so far is not measured again."""
    op.add_column("engine", sa.Column("cycles_per_day", sa.Float(), nullable=True))
    op.add_column("current_state", sa.Column("cycle_marks", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("current_state", sa.Column("cycles_per_day", sa.Float(), nullable=True))


def downgrade() -> None:
    """Forget both; what was measured is not measured again."""
    op.drop_column("current_state", "cycles_per_day")
    op.drop_column("current_state", "cycle_marks")
    op.drop_column("engine", "cycles_per_day")
