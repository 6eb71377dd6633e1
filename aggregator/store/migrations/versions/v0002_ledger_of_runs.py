"""The ledger counts runs of seqs; records lose foreign keys and digest; what is missing for good gets its table."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Change the ledger, the tables of records and what is known of gaps; no row is lost."""
    _turn_receipts_into_runs()
    _lighten("telemetry", ("engine_id", "installation_id", "stream"))
    _lighten("prediction", ("engine_id", "installation_id", "model_id", "stream"))
    _create_missing_range()


def _turn_receipts_into_runs() -> None:
    """A receipt of one record is a run of length one."""
    with op.batch_alter_table("receipt") as receipt:
        receipt.alter_column("seq", new_column_name="last_seq")
        receipt.alter_column("digest", new_column_name="digests")
        receipt.add_column(sa.Column("first_seq", sa.BigInteger(), nullable=True))
    op.execute("UPDATE receipt SET first_seq = last_seq")
    with op.batch_alter_table("receipt") as receipt:
        receipt.alter_column("first_seq", nullable=False)


def _lighten(table: str, references: tuple[str, ...]) -> None:
    with op.batch_alter_table(table) as records:
        for column in references:
            records.drop_constraint(f"fk_{table}_{column}", type_="foreignkey")
        records.drop_column("digest")


def _create_missing_range() -> None:
    op.create_table(
        "missing_range",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("gateway_id", sa.Integer(), nullable=False),
        sa.Column("stream", sa.Integer(), nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("noticed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateway.id"], name="fk_missing_range_gateway_id"),
        sa.ForeignKeyConstraint(["stream"], ["stream.id"], name="fk_missing_range_stream"),
        sa.PrimaryKeyConstraint("id", name="pk_missing_range"),
    )
    op.create_index("ix_missing_range_stream", "missing_range", ["stream"])
