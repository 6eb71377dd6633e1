"""Rules for engines that wear out fast and for what piles up in the quarantine; alarms that become more urgent."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0021"

RULES = (
    ("fast-decline", "high", {"kind": "fast_decline"}),
    ("quarantine-growing", "medium", {"kind": "quarantine_growing"}),
)

AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the rules, where nobody has one of the same name, and the columns."""
    texts = (sa.column(name, sa.String()) for name in ("name", "site", "type", "priority"))
    others = sa.column("is_enabled", sa.Boolean()), sa.column("condition", sa.JSON())
    rule = sa.table("alarm_rule", *texts, *others)
    connection = op.get_bind()
    taken = set(connection.scalars(sa.select(rule.c.name)))
    everywhere = {"site": "", "type": "", "is_enabled": True}
    op.bulk_insert(
        rule,
        [
            {"name": name, "priority": priority, "condition": what, **everywhere}
            for name, priority, what in RULES
            if name not in taken
        ],
    )
    op.add_column("alarm_rule", sa.Column("escalates_after_s", sa.Float(), nullable=True))
    op.add_column("alarm", sa.Column("priority_at", AT, nullable=True))
    op.add_column("alarm", sa.Column("priority_set_by", sa.String(), nullable=True))


def downgrade() -> None:
    """Forget the rules, which an older program does not understand, and how alarms came to their priority."""
    op.drop_column("alarm", "priority_set_by")
    op.drop_column("alarm", "priority_at")
    op.drop_column("alarm_rule", "escalates_after_s")
    names = ", ".join(f"'{name}'" for name, _, _ in RULES)
    op.execute(f"DELETE FROM alarm_rule WHERE name IN ({names})")  # noqa: S608  # our own names
