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


def downgrade() -> None:
    """Take runs apart, and give records their digests and foreign keys back; what no gateway sent has no place."""
    for table, references in (
        ("telemetry", {"engine_id": "engine.id", "installation_id": "installation.id", "stream": "stream.id"}),
        (
            "prediction",
            {
                "engine_id": "engine.id",
                "installation_id": "installation.id",
                "model_id": "model.id",
                "stream": "stream.id",
            },
        ),
    ):
        _burden(table, references)
    _take_runs_apart()
    op.drop_table("missing_range")


def _burden(table: str, references: dict[str, str]) -> None:
    op.execute(f"DELETE FROM {table} WHERE stream NOT IN (SELECT id FROM stream)")  # noqa: S608
    op.add_column(table, sa.Column("digest", sa.LargeBinary(), nullable=True))
    op.execute(
        f"UPDATE {table} SET digest = (SELECT substr(digests, CAST(16 * ({table}.seq - first_seq) + 1 AS integer), 16) "  # noqa: S608
        f"FROM receipt WHERE receipt.stream = {table}.stream AND {table}.seq BETWEEN first_seq AND last_seq)"
    )
    with op.batch_alter_table(table) as records:
        records.alter_column("digest", nullable=False)
        for column, reference in references.items():
            other, key = reference.split(".")
            records.create_foreign_key(f"fk_{table}_{column}", other, [column], [key])


def _take_runs_apart() -> None:
    columns = "stream, last_seq, digests, quarantine_reason, received_at"
    op.create_table(
        "receipt_of_one",
        sa.Column("stream", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("quarantine_reason", sa.String(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.execute(
        "INSERT INTO receipt_of_one "  # noqa: S608  # a constant from above
        f"WITH RECURSIVE one (seq, first_seq, {columns}) AS ("
        f"SELECT first_seq, first_seq, {columns} FROM receipt UNION ALL "
        f"SELECT seq + 1, first_seq, {columns} FROM one WHERE seq < last_seq) "
        "SELECT stream, seq, substr(digests, CAST(16 * (seq - first_seq) + 1 AS integer), 16), quarantine_reason, "
        "received_at FROM one"
    )
    op.drop_table("receipt")
    op.rename_table("receipt_of_one", "receipt")
    with op.batch_alter_table("receipt") as receipt:
        receipt.create_primary_key("pk_receipt", ["stream", "seq"])
        receipt.create_foreign_key("fk_receipt_stream", "stream", ["stream"], ["id"])
