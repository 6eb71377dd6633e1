"""Who may come in, and what anybody has changed."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, LargeBinary
from sqlmodel import Field

from aggregator.store.tables.base import BigInt, NullableJson, Table, UtcDateTime


class Person(Table, table=True):
    """A person with an account here; never removed, so that the audit log goes on meaning somebody."""

    __tablename__ = "person"

    name: str = Field(primary_key=True)
    password_hash: str
    grants: list[tuple[str, str]] = Field(sa_type=JSON)  # role and site; read and written as a whole
    added_at: datetime = Field(sa_type=UtcDateTime)
    disabled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Login(Table, table=True):
    """One login of a person, and the digest of the one token that renews it; over once ``ended_at`` is set."""

    __tablename__ = "login"

    id: str = Field(primary_key=True)
    person: str = Field(foreign_key="person.name", index=True)
    refresh_digest: bytes = Field(sa_type=LargeBinary)
    began_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class ApiKey(Table, table=True):
    """A key for a program; the id is its beginning, and of the whole only the digest is kept."""

    __tablename__ = "api_key"

    id: str = Field(primary_key=True)
    digest: bytes = Field(sa_type=LargeBinary)
    purpose: str
    grants: list[tuple[str, str]] = Field(sa_type=JSON)
    added_by: str
    added_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class AuditEntry(Table, table=True):
    """One change or failed login; triggers keep every row as it was written."""

    __tablename__ = "audit_entry"
    __table_args__ = (Index(None, "site", "id"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=BigInt)
    at: datetime = Field(sa_type=UtcDateTime)
    who: str
    address: str | None = None
    action: str
    subject: str
    site: str | None = None
    before: dict[str, Any] | None = Field(default=None, sa_type=NullableJson)
    after: dict[str, Any] | None = Field(default=None, sa_type=NullableJson)
