"""Keys for programs: added, found by the beginning of their text, revoked; each change is in the audit log."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlmodel import Session, col, select

from aggregator.access.opaque import ApiKey as KeyText
from aggregator.access.opaque import digest_of, is_secret
from aggregator.access.roles import Caller, Grant, grants_of, site_of
from aggregator.store.audit import Change, audit
from aggregator.store.database import Store
from aggregator.store.tables import ApiKey


class KeyWish(NamedTuple):
    """A key to be made: what for, what it may do, until when."""

    purpose: str
    grants: tuple[Grant, ...]
    expires_at: datetime


def add_key(store: Store, key: KeyText, wanted: KeyWish, by: Caller, now: datetime) -> ApiKey:
    """Keep the digest of a key that was drawn."""
    row = ApiKey(
        id=key.id,
        digest=digest_of(key.text),
        purpose=wanted.purpose,
        grants=list(wanted.grants),
        added_by=by.name,
        added_at=now,
        expires_at=wanted.expires_at,
    )
    with store.session(writes=True) as session:
        session.add(row)
        audit(session, by, now, Change("key.add", f"key {key.id}", site_of(wanted.grants), after=_shown(row)))
        session.commit()
        session.refresh(row)
    return row


def revoke_key(store: Store, key_id: str, by: Caller, now: datetime) -> None:
    """Make a key good for nothing; to revoke it once more changes nothing."""
    with store.session(writes=True) as session:
        row = session.get(ApiKey, key_id)
        if row is None or row.revoked_at is not None:
            return
        _revoke(session, row, by, now)
        session.commit()


def revoke_keys_beyond(session: Session, maker: Caller, by: Caller, now: datetime) -> None:
    """Revoke the keys that somebody made and, by what they may do now, could not make any more."""
    made = select(ApiKey).where(ApiKey.added_by == maker.name, col(ApiKey.revoked_at).is_(None))
    for row in session.exec(made):
        if not maker.administers(grants_of(row.grants)):
            _revoke(session, row, by, now)


def _revoke(session: Session, row: ApiKey, by: Caller, now: datetime) -> None:
    row.revoked_at = now
    site = site_of(grants_of(row.grants))
    audit(session, by, now, Change("key.revoke", f"key {row.id}", site, before=_shown(row)))


def find_key(session: Session, key_id: str) -> ApiKey | None:
    """Read one key."""
    return session.get(ApiKey, key_id)


def list_keys(session: Session) -> Sequence[ApiKey]:
    """Read all keys, those that are no longer good included, by when they were made."""
    return session.exec(select(ApiKey).order_by(col(ApiKey.added_at), col(ApiKey.id))).all()


def recognise(session: Session, shown: KeyText, now: datetime) -> tuple[Caller, datetime] | None:
    """Whom a key stands for and until when, if it is good now."""
    row = session.get(ApiKey, shown.id)
    # An unknown id costs the same comparison as a known one.
    genuine = is_secret(shown.text, row.digest if row is not None else digest_of(""))
    if row is None or not genuine or row.revoked_at is not None or row.expires_at <= now:
        return None
    return Caller(f"key {row.id}", grants_of(row.grants), is_key=True), row.expires_at


def _shown(row: ApiKey) -> dict[str, object]:
    grants = [f"{role}@{site}" for role, site in row.grants]
    return {"purpose": row.purpose, "grants": grants, "expires_at": row.expires_at.isoformat()}
