"""What has come of which stream, what never will, and what could not be used."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, LargeBinary, UniqueConstraint
from sqlmodel import Field

from aggregator.store.tables.base import Changing, NullableJson, Table, UtcDateTime


class Stream(Table, table=True):
    """One outbox file of one gateway; ``ordinal`` counts a gateway's streams from 1 by first sight."""

    __tablename__ = "stream"
    __table_args__ = (UniqueConstraint("gateway_id", "stream_id"), UniqueConstraint("gateway_id", "ordinal"))

    id: int | None = Field(default=None, primary_key=True)
    gateway_id: int = Field(foreign_key="gateway.id")
    stream_id: str
    ordinal: int
    created_at: datetime = Field(sa_type=UtcDateTime)
    conflict: str | None = None
    sessions: list[list[Any]] | None = Field(default=None, sa_type=NullableJson)  # [counter, boot nonce], the latest


class Receipt(Table, table=True):
    """The ledger: seqs in a row of one stream that one transaction has committed or, with the reason, quarantined.

    Runs of a stream never overlap and are at most ``ledger.RUN_MAX_RECORDS`` long; ``digests`` has 16 bytes per record.
    """

    __tablename__ = "receipt"

    stream: int = Field(foreign_key="stream.id", primary_key=True)
    last_seq: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    first_seq: int = Field(sa_type=BigInteger)
    digests: bytes = Field(sa_type=LargeBinary)
    quarantine_reason: str | None = None
    received_at: datetime = Field(sa_type=UtcDateTime)


class GapRecord(Table, table=True):
    """What a gateway dropped by policy: seq ranges of its stream, and why."""

    __tablename__ = "gap_record"

    gap_id: str = Field(primary_key=True)
    gateway_id: int = Field(foreign_key="gateway.id", primary_key=True)
    stream: int = Field(foreign_key="stream.id")
    seq: int = Field(sa_type=BigInteger)
    ranges: list[tuple[int, int]] = Field(sa_type=JSON)
    reason: str
    noticed_at: datetime = Field(sa_type=UtcDateTime)
    received_at: datetime = Field(sa_type=UtcDateTime)


class MissingRange(Table, table=True):
    """Seqs of one stream that the centre has not got and no longer waits for, and why."""

    __tablename__ = "missing_range"

    id: int | None = Field(default=None, primary_key=True)
    gateway_id: int = Field(foreign_key="gateway.id")
    stream: int = Field(foreign_key="stream.id", index=True)
    first_seq: int = Field(sa_type=BigInteger)
    last_seq: int = Field(sa_type=BigInteger)
    reason: str
    noticed_at: datetime = Field(sa_type=UtcDateTime)


class Quarantine(Changing, table=True):
    """A message or record that could not be used: its raw bytes and why; names as its topic gave them.

    ``engine`` is the serial that a record names; null for what is none, or was set aside by an older version. No id is
    ever given twice, or whoever acts on a message that is gone would meet another one.
    """

    __tablename__ = "quarantine"
    __table_args__ = (
        *(Index(None, "gateway", "id"), Index(None, "engine", "id"), Index(None, "site", "id")),
        {"sqlite_autoincrement": True},
    )

    id: int | None = Field(default=None, primary_key=True)
    gateway: str
    site: str
    topic: str
    stream_id: str | None = None
    seq: int | None = Field(default=None, sa_type=BigInteger)
    engine: str | None = None
    reason: str
    body: bytes = Field(sa_type=LargeBinary)
    digest: bytes = Field(sa_type=LargeBinary, index=True)
    received_at: datetime = Field(sa_type=UtcDateTime, index=True)
