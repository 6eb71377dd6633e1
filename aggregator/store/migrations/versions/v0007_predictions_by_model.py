"""Finds the predictions of a model without reading those of all others."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the index; its newest entries lie together, so that it costs ingest little."""
    op.create_index("ix_prediction_model_id_id", "prediction", ["model_id", "id"])


def downgrade() -> None:
    """Drop the index."""
    op.drop_index("ix_prediction_model_id_id", "prediction")
