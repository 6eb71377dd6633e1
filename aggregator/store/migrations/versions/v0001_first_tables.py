"""The first tables: registry, streams and their ledger, records, quarantine and current state."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table, each after those it refers to."""
    _create_engine()
    _create_gateway()
    _create_model()
    _create_quarantine()
    _create_store_fact()
    _create_installation()
    _create_stream()
    _create_current_state()
    _create_gap_record()
    _create_prediction()
    _create_receipt()
    _create_telemetry()


def _create_engine() -> None:
    op.create_table(
        "engine",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("serial", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_engine"),
        sa.UniqueConstraint("serial", name="uq_engine_serial"),
    )


def _create_gateway() -> None:
    op.create_table(
        "gateway",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=True),
        sa.Column("session_counter", sa.BigInteger(), nullable=True),
        sa.Column("boot_nonce", sa.String(), nullable=True),
        sa.Column("stream_id", sa.String(), nullable=True),
        sa.Column("next_seq", sa.BigInteger(), nullable=True),
        sa.Column("heartbeat_interval_s", sa.Float(), nullable=True),
        sa.Column("agent_version", sa.String(), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("report", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_gateway"),
        sa.UniqueConstraint("name", name="uq_gateway_name"),
    )


def _create_model() -> None:
    op.create_table(
        "model",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_model"),
        sa.UniqueConstraint("name", "version", "sha256", name="uq_model_name_version_sha256"),
    )


def _create_quarantine() -> None:
    op.create_table(
        "quarantine",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("stream_id", sa.String(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_quarantine"),
    )
    op.create_index("ix_quarantine_digest", "quarantine", ["digest"], unique=False)
    op.create_index("ix_quarantine_received_at", "quarantine", ["received_at"], unique=False)


def _create_store_fact() -> None:
    op.create_table(
        "store_fact",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_store_fact"),
    )


def _create_installation() -> None:
    op.create_table(
        "installation",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("engine_id", sa.Integer(), nullable=False),
        sa.Column("gateway_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.String(), nullable=False),
        sa.Column("installed_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("installed_to", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["engine_id"], ["engine.id"], name="fk_installation_engine_id"),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateway.id"], name="fk_installation_gateway_id"),
        sa.PrimaryKeyConstraint("id", name="pk_installation"),
    )
    op.create_index("ix_installation_engine_id", "installation", ["engine_id"], unique=False)
    op.create_index("ix_installation_gateway_id", "installation", ["gateway_id"], unique=False)


def _create_stream() -> None:
    op.create_table(
        "stream",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("gateway_id", sa.Integer(), nullable=False),
        sa.Column("stream_id", sa.String(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("conflict", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateway.id"], name="fk_stream_gateway_id"),
        sa.PrimaryKeyConstraint("id", name="pk_stream"),
        sa.UniqueConstraint("gateway_id", "ordinal", name="uq_stream_gateway_id_ordinal"),
        sa.UniqueConstraint("gateway_id", "stream_id", name="uq_stream_gateway_id_stream_id"),
    )


def _create_current_state() -> None:
    op.create_table(
        "current_state",
        sa.Column("engine_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("installation_id", sa.String(), nullable=False),
        sa.Column("gateway_id", sa.Integer(), nullable=False),
        sa.Column("telemetry_stream_ordinal", sa.Integer(), nullable=True),
        sa.Column("telemetry_seq", sa.BigInteger(), nullable=True),
        sa.Column("telemetry_cycle", sa.Integer(), nullable=True),
        sa.Column("telemetry_observed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("telemetry_received_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("clock_unsynced", sa.Boolean(), nullable=True),
        sa.Column("channels", sa.JSON(), nullable=True),
        sa.Column("telemetry_flags", sa.JSON(), nullable=True),
        sa.Column("refusal", sa.String(), nullable=True),
        sa.Column("prediction_stream_ordinal", sa.Integer(), nullable=True),
        sa.Column("prediction_seq", sa.BigInteger(), nullable=True),
        sa.Column("prediction_cycle", sa.Integer(), nullable=True),
        sa.Column("prediction_observed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("predicted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("prediction_received_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rul_mean_cycles", sa.Float(), nullable=True),
        sa.Column("rul_q05_cycles", sa.Float(), nullable=True),
        sa.Column("rul_q50_cycles", sa.Float(), nullable=True),
        sa.Column("rul_q95_cycles", sa.Float(), nullable=True),
        sa.Column("cap_cycles", sa.Float(), nullable=True),
        sa.Column("model_id", sa.Integer(), nullable=True),
        sa.Column("prediction_flags", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["engine_id"], ["engine.id"], name="fk_current_state_engine_id"),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateway.id"], name="fk_current_state_gateway_id"),
        sa.ForeignKeyConstraint(["installation_id"], ["installation.id"], name="fk_current_state_installation_id"),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name="fk_current_state_model_id"),
        sa.PrimaryKeyConstraint("engine_id", name="pk_current_state"),
    )


def _create_gap_record() -> None:
    op.create_table(
        "gap_record",
        sa.Column("gap_id", sa.String(), nullable=False),
        sa.Column("gateway_id", sa.Integer(), nullable=False),
        sa.Column("stream", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("ranges", sa.JSON(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("noticed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateway.id"], name="fk_gap_record_gateway_id"),
        sa.ForeignKeyConstraint(["stream"], ["stream.id"], name="fk_gap_record_stream"),
        sa.PrimaryKeyConstraint("gap_id", "gateway_id", name="pk_gap_record"),
    )


def _create_prediction() -> None:
    op.create_table(
        "prediction",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("engine_id", sa.Integer(), nullable=False),
        sa.Column("installation_id", sa.String(), nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("predicted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rul_mean_cycles", sa.Float(), nullable=False),
        sa.Column("rul_q05_cycles", sa.Float(), nullable=False),
        sa.Column("rul_q50_cycles", sa.Float(), nullable=False),
        sa.Column("rul_q95_cycles", sa.Float(), nullable=False),
        sa.Column("cap_cycles", sa.Float(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("runtime", sa.String(), nullable=False),
        sa.Column("window_first_cycle", sa.Integer(), nullable=False),
        sa.Column("window_last_cycle", sa.Integer(), nullable=False),
        sa.Column("window_rows", sa.Integer(), nullable=False),
        sa.Column("flags", sa.JSON(), nullable=False),
        sa.Column("input", sa.LargeBinary(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("stream", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["engine_id"], ["engine.id"], name="fk_prediction_engine_id"),
        sa.ForeignKeyConstraint(["installation_id"], ["installation.id"], name="fk_prediction_installation_id"),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name="fk_prediction_model_id"),
        sa.ForeignKeyConstraint(["stream"], ["stream.id"], name="fk_prediction_stream"),
        sa.PrimaryKeyConstraint("id", name="pk_prediction"),
        sa.UniqueConstraint(
            "engine_id", "installation_id", "cycle", "model_id", "origin", "request_id", name="uq_prediction_subject"
        ),
    )


def _create_receipt() -> None:
    op.create_table(
        "receipt",
        sa.Column("stream", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("quarantine_reason", sa.String(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["stream"], ["stream.id"], name="fk_receipt_stream"),
        sa.PrimaryKeyConstraint("stream", "seq", name="pk_receipt"),
    )


def _create_telemetry() -> None:
    op.create_table(
        "telemetry",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("engine_id", sa.Integer(), nullable=False),
        sa.Column("installation_id", sa.String(), nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("clock_unsynced", sa.Boolean(), nullable=False),
        sa.Column("channels", sa.JSON(), nullable=False),
        sa.Column("flags", sa.JSON(), nullable=False),
        sa.Column("refusal", sa.String(), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("stream", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["engine_id"], ["engine.id"], name="fk_telemetry_engine_id"),
        sa.ForeignKeyConstraint(["installation_id"], ["installation.id"], name="fk_telemetry_installation_id"),
        sa.ForeignKeyConstraint(["stream"], ["stream.id"], name="fk_telemetry_stream"),
        sa.PrimaryKeyConstraint("id", name="pk_telemetry"),
        sa.UniqueConstraint("engine_id", "installation_id", "cycle", name="uq_telemetry_subject"),
    )


def downgrade() -> None:
    """Drop every table."""
    for table in (
        *("telemetry", "receipt", "prediction", "gap_record", "current_state", "stream", "installation", "store_fact"),
        *("quarantine", "model", "gateway", "engine"),
    ):
        op.drop_table(table)
