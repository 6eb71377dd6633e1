"""The audit log: who changed what, and which logins failed; entries are added and read, never changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from aggregator.access.roles import Caller, Sites
from aggregator.store.tables import AuditEntry


@dataclass(frozen=True, slots=True)
class Change:
    """What was done to what.

    Attributes:
        action: what was done, such as ``person.add``.
        subject: to what, such as ``person anna``.
        site: where the subject is; None where it is of no one site.
        before: what it was; None where there was nothing.
        after: what it is now.
    """

    action: str
    subject: str
    site: str | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


def audit(session: Session, by: Caller, at: datetime, change: Change) -> None:
    """Add an entry, in the very transaction that makes the change."""
    session.add(
        AuditEntry(
            at=at,
            who=by.name,
            address=by.address,
            action=change.action,
            subject=change.subject,
            site=change.site,
            before=None if change.before is None else dict(change.before),
            after=None if change.after is None else dict(change.after),
        )
    )


def audit_move(session: Session, by: Caller, at: datetime, change: Change, old_site: str) -> None:
    """Add an entry at the site of a change and, where its subject came from another one, at that too."""
    for site in dict.fromkeys((change.site, old_site)):
        audit(session, by, at, replace(change, site=site))


def list_audit(
    session: Session, sites: Sites, after: int | None = None, limit: int | None = None
) -> Sequence[AuditEntry]:
    """Read entries, newest first; those of no one site only where ``sites`` is not limited.

    Args:
        session: of the store.
        sites: whose entries.
        after: the id to go on behind.
        limit: how many at most.
    """
    statement = select(AuditEntry).order_by(col(AuditEntry.id).desc()).limit(limit)
    if sites is not None:
        statement = statement.where(col(AuditEntry.site).in_(sorted(sites)))
    if after is not None:
        statement = statement.where(col(AuditEntry.id) < after)
    return session.exec(statement).all()
