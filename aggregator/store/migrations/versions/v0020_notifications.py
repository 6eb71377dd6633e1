"""Who is told of alarms has a place, and what they are told."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"

BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")
AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the tables; of what became of alarms until now nobody is told."""
    op.create_table(
        "receiver",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("via", sa.String(), nullable=False),
        sa.Column("sealed", sa.String(), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("wishes", sa.JSON(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("paused_until", AT, nullable=True),
        sa.Column("problem", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_receiver"),
        sa.UniqueConstraint("name", name="uq_receiver_name"),
    )
    _create_notifications()
    op.add_column("alarm_change", sa.Column("is_routed", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.execute(sa.text("UPDATE alarm_change SET is_routed = true"))
    op.create_index(
        "ix_alarm_change_id_unrouted",
        "alarm_change",
        ["id"],
        sqlite_where=sa.text("is_routed = 0"),
        postgresql_where=sa.text("NOT is_routed"),
    )


def _create_notifications() -> None:
    op.create_table(
        "notification",
        sa.Column("id", BIG, nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("receiver_id", sa.Integer(), nullable=False),
        sa.Column("about", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("alarm_id", BIG, nullable=True),
        sa.Column("unless_acknowledged", sa.Boolean(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("made_at", AT, nullable=False),
        sa.Column("since", AT, nullable=False),
        sa.Column("due_at", AT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("ended_at", AT, nullable=True),
        sa.ForeignKeyConstraint(["receiver_id"], ["receiver.id"], name="fk_notification_receiver_id"),
        sa.ForeignKeyConstraint(["alarm_id"], ["alarm.id"], name="fk_notification_alarm_id"),
        sa.PrimaryKeyConstraint("id", name="pk_notification"),
        sa.UniqueConstraint("receiver_id", "about", name="uq_notification_receiver_id_about"),
    )
    waiting = sa.text("state = 'waiting'")
    op.create_index(
        "ix_notification_receiver_id_due_at_waiting",
        "notification",
        ["receiver_id", "due_at"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
    op.create_index("ix_notification_receiver_id_id", "notification", ["receiver_id", "id"])
    op.create_index("ix_notification_state_id", "notification", ["state", "id"])
    op.create_index("ix_notification_ended_at", "notification", ["ended_at"])


def downgrade() -> None:
    """Forget who is told, and of what."""
    op.drop_index("ix_alarm_change_id_unrouted", "alarm_change")
    op.drop_column("alarm_change", "is_routed")
    op.drop_table("notification")
    op.drop_table("receiver")
