"""The audit log: who changed what, and which logins failed."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from aggregator.access.roles import Caller, Role, Sites
from aggregator.dashboard.frame import Source
from aggregator.dashboard.lists import ROWS_PER_PAGE, Column, Empty, Layout, Listing, Numbers, Portion
from aggregator.dashboard.view import View
from aggregator.store.audit import list_audit
from aggregator.store.reads import Session

COLUMNS = (
    Column("subject", "What", phone="title"),
    Column("action", "Action", phone="corner"),
    Column("changed", "From → to"),
    Column("who", "Who"),
    Column("at", "When", "when", phone="right"),
)


class AuditListing(Listing):
    """All entries of the sites that one looks after."""

    role = Role.ADMIN

    def layout(self, source: Source, visitor: Caller) -> Layout:
        """What this visitor sees of it whatever it has."""
        return Layout(
            title="Audit log",
            heading="Changes and failed logins, the latest first",
            columns=COLUMNS,
            sorts=("latest",),
            empty=Empty("Nothing was changed yet"),
        )

    def numbers(self, session: Session, sites: Sites, now: datetime) -> Numbers:
        """There are no cards."""
        return Numbers(is_empty=not list_audit(session, sites, limit=1))

    def portion(self, session: Session, sites: Sites, view: View, now: datetime) -> Portion:
        """Read what the rows say."""
        after = cast(int, view.places[-1]) if view.places else None
        entries = list_audit(session, sites, after, ROWS_PER_PAGE + 1)
        kept = entries[:ROWS_PER_PAGE]
        rows = [
            {
                "key": str(entry.id),
                "name": entry.subject,
                "subject": entry.subject,
                "action": entry.action,
                "changed": in_words(entry.before, entry.after),
                "who": entry.who,
                "at": entry.at.timestamp(),
                "notes": {"who": entry.address or "on the machine"} | ({"subject": entry.site} if entry.site else {}),
            }
            for entry in kept
        ]
        return Portion(rows, kept[-1].id if len(entries) > ROWS_PER_PAGE else None)


def in_words(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str | None:
    """What has changed, field by field.

    >>> in_words({"site": "hamburg", "type": "fan"}, {"site": "bremen", "type": "fan"})
    'site: hamburg → bremen'
    >>> in_words(None, {"site": "bremen"}), in_words({"site": "bremen"}, None), in_words(None, None)
    ('site: bremen', 'site: bremen → nothing', None)
    """
    old, new = before or {}, after or {}
    fields = [name for name in dict.fromkeys((*old, *new)) if old.get(name) != new.get(name)]
    return "; ".join(_field(name, old, new) for name in fields) or None


def _field(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    was, now = old.get(name), new.get(name)
    return f"{name}: {now}" if was is None else f"{name}: {was} → {'nothing' if now is None else now}"
