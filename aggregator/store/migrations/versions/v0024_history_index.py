"""Histories of predictions are drawn from their index alone."""

from alembic import op

revision = "0024"
down_revision = "0023"

NARROW = "ix_prediction_engine_id_cycle_received_at"
WIDE = "ix_prediction_history"
KEY = ("engine_id", "cycle", "received_at")
SHOWN = (
    *("installation_id", "origin", "observed_at"),
    *("rul_mean_cycles", "rul_q05_cycles", "rul_q50_cycles", "rul_q95_cycles"),
)


def upgrade() -> None:
    """Put what charts show into the index that they find it by."""
    op.drop_index(NARROW, "prediction")
    op.create_index(WIDE, "prediction", [*KEY, *SHOWN])


def downgrade() -> None:
    """Leave in it what it takes to find a prediction."""
    op.drop_index(WIDE, "prediction")
    op.create_index(NARROW, "prediction", [*KEY])
