"""Gateways enrol by a one-time token and are let in by certificates."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "enrolment_token",
        sa.Column("gateway_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateway.id"], name="fk_enrolment_token_gateway_id"),
        sa.PrimaryKeyConstraint("gateway_id", name="pk_enrolment_token"),
        sa.UniqueConstraint("id", name="uq_enrolment_token_id"),
    )
    op.create_table(
        "gateway_certificate",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("gateway_id", sa.Integer(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateway.id"], name="fk_gateway_certificate_gateway_id"),
        sa.PrimaryKeyConstraint("id", name="pk_gateway_certificate"),
    )
    op.create_index("ix_gateway_certificate_gateway_id", "gateway_certificate", ["gateway_id"])


def downgrade() -> None:
    """Forget them: every gateway has to enrol anew."""
    op.drop_table("gateway_certificate")
    op.drop_table("enrolment_token")
