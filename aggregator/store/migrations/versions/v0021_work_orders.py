"""Work orders, what became of each, and how predictions did over lives that have ended."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")
AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables, and let alarms say which work order sees to them."""
    _create_work_orders()
    op.create_table(
        "work_order_change",
        sa.Column("id", BIG, nullable=False),
        sa.Column("work_order_id", BIG, nullable=False),
        sa.Column("at", AT, nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=True),
        sa.Column("is_routed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.ForeignKeyConstraint(["work_order_id"], ["work_order.id"], name="fk_work_order_change_work_order_id"),
        sa.PrimaryKeyConstraint("id", name="pk_work_order_change"),
    )
    op.create_index("ix_work_order_change_work_order_id_id", "work_order_change", ["work_order_id", "id"])
    op.create_index(
        "ix_work_order_change_id_unrouted",
        "work_order_change",
        ["id"],
        sqlite_where=sa.text("is_routed = 0"),
        postgresql_where=sa.text("NOT is_routed"),
    )
    op.add_column("alarm", sa.Column("work_order_id", BIG, nullable=True))
    op.create_index("ix_alarm_work_order_id", "alarm", ["work_order_id"])
    _create_scores()


def _create_work_orders() -> None:
    op.create_table(
        "work_order",
        sa.Column("id", BIG, nullable=False),
        sa.Column("engine_id", sa.Integer(), nullable=False),
        sa.Column("installation_id", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("priority", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("planned_for", sa.Date(), nullable=True),
        sa.Column("parts_lead_time_days", sa.Integer(), nullable=True),
        sa.Column("assigned_to", sa.String(), nullable=True),
        sa.Column("opened_at", AT, nullable=False),
        sa.Column("opened_by", sa.String(), nullable=False),
        sa.Column("started_at", AT, nullable=True),
        sa.Column("closed_at", AT, nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("remedy", sa.String(), nullable=True),
        sa.Column("ended_at", AT, nullable=True),
        sa.Column("ended_installation_id", sa.String(), nullable=True),
        sa.Column("ended_cycle", sa.Integer(), nullable=True),
        sa.Column("has_set", sa.String(), nullable=True),
        sa.Column("changed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["engine_id"], ["engine.id"], name="fk_work_order_engine_id"),
        sa.ForeignKeyConstraint(["installation_id"], ["installation.id"], name="fk_work_order_installation_id"),
        sa.ForeignKeyConstraint(
            ["ended_installation_id"], ["installation.id"], name="fk_work_order_ended_installation_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_work_order"),
    )
    is_open = sa.text("closed_at IS NULL")
    op.create_index("ix_work_order_id_open", "work_order", ["id"], sqlite_where=is_open, postgresql_where=is_open)
    op.create_index("ix_work_order_engine_id_id", "work_order", ["engine_id", "id"])
    op.create_index("ix_work_order_closed_at", "work_order", ["closed_at"])
    op.create_index("ix_work_order_changed", "work_order", ["changed"])


def _create_scores() -> None:
    op.create_table(
        "ended_life",
        sa.Column("work_order_id", BIG, autoincrement=False, nullable=False),
        sa.Column("engine_id", sa.Integer(), nullable=False),
        sa.Column("is_failure", sa.Boolean(), nullable=False),
        sa.Column("ended_at", AT, nullable=False),
        sa.Column("stretches", sa.JSON(), nullable=False),
        sa.Column("cycles", sa.Integer(), nullable=False),
        sa.Column("predictions", sa.Integer(), nullable=False),
        sa.Column("alarms", sa.JSON(), nullable=False),
        sa.Column("scored_at", AT, nullable=False),
        sa.ForeignKeyConstraint(["work_order_id"], ["work_order.id"], name="fk_ended_life_work_order_id"),
        sa.ForeignKeyConstraint(["engine_id"], ["engine.id"], name="fk_ended_life_engine_id"),
        sa.PrimaryKeyConstraint("work_order_id", name="pk_ended_life"),
    )
    op.create_index("ix_ended_life_engine_id", "ended_life", ["engine_id"])
    op.create_table(
        "life_score",
        sa.Column("work_order_id", BIG, autoincrement=False, nullable=False),
        sa.Column("model_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sums", sa.JSON(), nullable=False),
        sa.Column("leads", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["work_order_id"], ["ended_life.work_order_id"], name="fk_life_score_work_order_id"),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name="fk_life_score_model_id"),
        sa.PrimaryKeyConstraint("work_order_id", "model_id", name="pk_life_score"),
    )


def downgrade() -> None:
    """Forget all work orders and what they have shown."""
    op.drop_table("life_score")
    op.drop_table("ended_life")
    op.drop_index("ix_alarm_work_order_id", "alarm")
    op.drop_column("alarm", "work_order_id")
    op.drop_table("work_order_change")
    op.drop_table("work_order")
