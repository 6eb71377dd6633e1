"""Lists that only some sites of may be seen are read by an index as well: the quarantine's and the audit log's."""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add the one and let the other, which had the site alone, go on by id."""
    op.create_index("ix_quarantine_site_id", "quarantine", ["site", "id"])
    op.create_index("ix_audit_entry_site_id", "audit_entry", ["site", "id"])
    op.drop_index("ix_audit_entry_site", "audit_entry")


def downgrade() -> None:
    """Go back to the index of the site alone."""
    op.create_index("ix_audit_entry_site", "audit_entry", ["site"])
    op.drop_index("ix_audit_entry_site_id", "audit_entry")
    op.drop_index("ix_quarantine_site_id", "quarantine")
