"""Alarms have a place, and the rules that they are raised by."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

RULES = (
    ("rul-critical", "urgent", {"kind": "rul_low", "below_cycles": 20, "probability": 0.05}),
    ("rul-low", "medium", {"kind": "rul_low", "below_cycles": 50, "probability": 0.5}),
    ("due-inside-lead-time", "high", {"kind": "due_inside_lead_time"}),
    ("sensor-bad", "medium", {"kind": "sensor_bad"}),
    ("prediction-stale", "low", {"kind": "prediction_stale"}),
    ("gateway-offline", "high", {"kind": "gateway_offline"}),
    ("outbox-nearly-full", "high", {"kind": "outbox_nearly_full"}),
)

BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")
AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the tables, and rules that are useful as they are."""
    rules = op.create_table(
        "alarm_rule",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("priority", sa.String(), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("condition", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alarm_rule"),
        sa.UniqueConstraint("name", "site", "type", name="uq_alarm_rule_name_site_type"),
    )
    everywhere = {"site": "", "type": "", "is_enabled": True}
    op.bulk_insert(
        rules,
        [{"name": name, "priority": priority, "condition": what, **everywhere} for name, priority, what in RULES],
    )
    _create_alarms()
    op.create_table(
        "alarm_change",
        sa.Column("id", BIG, nullable=False),
        sa.Column("alarm_id", BIG, nullable=False),
        sa.Column("at", AT, nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["alarm_id"], ["alarm.id"], name="fk_alarm_change_alarm_id"),
        sa.PrimaryKeyConstraint("id", name="pk_alarm_change"),
    )
    op.create_index("ix_alarm_change_alarm_id_id", "alarm_change", ["alarm_id", "id"])
    op.add_column("current_state", sa.Column("alarm_streaks", sa.JSON(none_as_null=True), nullable=True))


def _create_alarms() -> None:
    op.create_table(
        "alarm",
        sa.Column("id", BIG, nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("priority", sa.String(), nullable=False),
        sa.Column("engine_id", sa.Integer(), nullable=True),
        sa.Column("gateway_id", sa.Integer(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=True),
        sa.Column("raised_at", AT, nullable=False),
        sa.Column("times_raised", sa.Integer(), nullable=False),
        sa.Column("cleared_at", AT, nullable=True),
        sa.Column("acknowledged_at", AT, nullable=True),
        sa.Column("acknowledged_by", sa.String(), nullable=True),
        sa.Column("assigned_to", sa.String(), nullable=True),
        sa.Column("shelved_until", AT, nullable=True),
        sa.Column("closed_at", AT, nullable=True),
        sa.Column("resolution", sa.String(), nullable=True),
        sa.Column("changed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["engine_id"], ["engine.id"], name="fk_alarm_engine_id"),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateway.id"], name="fk_alarm_gateway_id"),
        sa.PrimaryKeyConstraint("id", name="pk_alarm"),
    )
    is_open = sa.text("closed_at IS NULL")
    for of in ("engine_id", "gateway_id"):
        op.create_index(
            f"uq_alarm_{of}_rule_open",
            "alarm",
            [of, "rule"],
            unique=True,
            sqlite_where=is_open,
            postgresql_where=is_open,
        )
        op.create_index(f"ix_alarm_{of}_id", "alarm", [of, "id"])
    op.create_index("ix_alarm_id_open", "alarm", ["id"], sqlite_where=is_open, postgresql_where=is_open)
    op.create_index("ix_alarm_changed", "alarm", ["changed"])


def downgrade() -> None:
    """Forget all alarms and rules."""
    op.drop_column("current_state", "alarm_streaks")
    op.drop_table("alarm_change")
    op.drop_table("alarm")
    op.drop_table("alarm_rule")
