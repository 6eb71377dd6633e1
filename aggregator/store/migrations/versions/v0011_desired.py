"""Overhauls of engines, and what each gateway is told of the engines that hang there."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Make both tables; every gateway is told anew."""
    op.create_table(
        "overhaul",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("engine_id", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("installation_id", sa.String(), nullable=True),
        sa.Column("after_cycle", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_overhaul"),
        sa.ForeignKeyConstraint(["engine_id"], ["engine.id"], name="fk_overhaul_engine_id"),
        sa.ForeignKeyConstraint(["installation_id"], ["installation.id"], name="fk_overhaul_installation_id"),
        sa.UniqueConstraint("engine_id", "epoch", name="uq_overhaul_engine_id_epoch"),
    )
    op.create_table(
        "gateway_desired",
        sa.Column("gateway_id", sa.Integer(), nullable=False),
        sa.Column("stale", sa.Boolean(), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=True),
        sa.Column("store_epoch", sa.String(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("gateway_id", name="pk_gateway_desired"),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateway.id"], name="fk_gateway_desired_gateway_id"),
    )
    op.create_index("ix_gateway_desired_ordinal", "gateway_desired", ["ordinal"])
    op.create_index("ix_gateway_desired_stale", "gateway_desired", ["stale"])
    op.execute("INSERT INTO gateway_desired (gateway_id, stale) SELECT id, true FROM gateway")


def downgrade() -> None:
    """Forget both."""
    op.drop_table("gateway_desired")
    op.drop_table("overhaul")
