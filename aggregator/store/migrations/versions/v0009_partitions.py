"""On PostgreSQL, records lie in one partition per month; their second key moves into a table of its own, on both."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

MONTHS_AHEAD = 3
SUBJECTS = {
    "telemetry": ("engine_id", "installation_id", "cycle"),
    "prediction": ("engine_id", "installation_id", "cycle", "model_id", "origin", "request_id"),
}
LINES = {
    "telemetry": ("engine_id, installation_id", ", 0, '', ''"),
    "prediction": ("engine_id, installation_id, model_id, origin, request_id", ""),
}


def upgrade() -> None:
    """Note what was taken, and then put the records, all of them, where they belong."""
    _create_taken_cycles()
    for table in SUBJECTS:
        if op.get_bind().dialect.name == "sqlite":
            with op.batch_alter_table(table) as records:
                records.drop_constraint(f"uq_{table}_subject", type_="unique")
        else:
            _partition(table)
        op.create_index(f"ix_{table}_engine_id_cycle_received_at", table, ["engine_id", "cycle", "received_at"])
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("ix_prediction_model_id_id", "prediction", ["model_id", "id"])


def _create_taken_cycles() -> None:
    op.create_table(
        "taken_cycles",
        sa.Column("engine_id", sa.Integer(), nullable=False),
        sa.Column("installation_id", sa.String(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("block", sa.Integer(), nullable=False),
        sa.Column("cycles", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            *("engine_id", "installation_id", "model_id", "origin", "request_id", "block"), name="pk_taken_cycles"
        ),
        sqlite_with_rowid=False,
    )
    for table, (line, constants) in LINES.items():
        # The old key lets no bit come twice, so that the sum has each that is there.
        op.execute(
            f"INSERT INTO taken_cycles SELECT {line}{constants}, cycle / 63, "  # noqa: S608  # constants from above
            f"CAST(sum(CAST(1 AS bigint) << (cycle % 63)) AS bigint) FROM {table} GROUP BY {line}, cycle / 63"
        )


def _partition(table: str) -> None:
    """Make the table anew, by month, and copy what there is into the months it was received in."""
    op.execute(f"ALTER TABLE {table} RENAME TO {table}_whole")
    _free_names(f"{table}_whole", table)
    op.execute(f"CREATE TABLE {table} (LIKE {table}_whole INCLUDING DEFAULTS) PARTITION BY RANGE (received_at)")
    op.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
    months = (
        f"SELECT DISTINCT date_trunc('month', received_at, 'UTC') FROM {table}_whole UNION "  # noqa: S608
        "SELECT date_trunc('month', now(), 'UTC') + make_interval(months => ahead) "
        f"FROM generate_series(0, {MONTHS_AHEAD}) AS ahead"
    )
    for (month,) in op.get_bind().execute(sa.text(months)).all():
        end = month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)
        op.execute(
            f"CREATE TABLE {table}_{month:%Y_%m} PARTITION OF {table} "
            f"FOR VALUES FROM ('{month.isoformat()}') TO ('{end.isoformat()}')"
        )
    _move(f"{table}_whole", table)
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT pk_{table} PRIMARY KEY (id, received_at)")


def _free_names(old: str, table: str) -> None:
    """Take the keys and indexes off the old table, whose names the new one will have."""
    op.execute(f"ALTER TABLE {old} DROP CONSTRAINT pk_{table}, DROP CONSTRAINT IF EXISTS uq_{table}_subject")
    op.execute(f"DROP INDEX IF EXISTS ix_{table}_engine_id_cycle_received_at")
    op.execute("DROP INDEX IF EXISTS ix_prediction_model_id_id" if table == "prediction" else "SELECT 1")
    op.execute(f"ALTER SEQUENCE {table}_id_seq OWNED BY NONE")


def _move(old: str, table: str) -> None:
    op.execute(f"INSERT INTO {table} SELECT * FROM {old}")  # noqa: S608
    op.execute(f"DROP TABLE {old}")
    op.execute(f"ALTER SEQUENCE {table}_id_seq OWNED BY {table}.id")


def downgrade() -> None:
    """Put all records back into one table each; what was pruned is then taken again if it comes again."""
    for table, subject in SUBJECTS.items():
        if op.get_bind().dialect.name == "sqlite":
            op.drop_index(f"ix_{table}_engine_id_cycle_received_at", table)
            with op.batch_alter_table(table) as records:
                records.create_unique_constraint(f"uq_{table}_subject", list(subject))
        else:
            op.execute(f"ALTER TABLE {table} RENAME TO {table}_parted")
            _free_names(f"{table}_parted", table)
            op.execute(f"CREATE TABLE {table} (LIKE {table}_parted INCLUDING DEFAULTS)")
            _move(f"{table}_parted", table)
            op.create_primary_key(f"pk_{table}", table, ["id"])
            op.create_unique_constraint(f"uq_{table}_subject", table, list(subject))
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("ix_prediction_model_id_id", "prediction", ["model_id", "id"])
    op.drop_table("taken_cycles")
