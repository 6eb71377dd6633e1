"""A stream remembers its latest sessions, so that a birth of one of them that comes late is no copy of the box."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add what streams are to remember; of those there are, nothing is known yet."""
    op.add_column("stream", sa.Column("sessions", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    """Forget the sessions."""
    op.drop_column("stream", "sessions")
