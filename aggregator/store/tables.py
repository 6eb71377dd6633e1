"""The centre's tables, portable between SQLite and PostgreSQL; ``migrations/`` creates them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

import sqlalchemy as sa
from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel

from aggregator.store.changes import draw_number

EngineStatus = Literal["operational", "maintenance", "retired"]

NullableJson = JSON(none_as_null=True)  # without this, None would be stored as the JSON text null
BigInt = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers only INTEGER keys by itself


class UtcDateTime(TypeDecorator[datetime]):
    """Stores and returns aware UTC times; SQLite, which knows no zones, gets them without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn an aware time into UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no time zone; the store takes aware times only")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the zone back."""
        return None if value is None else value.astimezone(UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None] | None:
        """On SQLite read the text itself: a fleet has tens of thousands of times, and this is several times as fast."""
        return _from_text if dialect.name == "sqlite" else super().result_processor(dialect, coltype)


def _from_text(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(f"{value}+00:00")


class Table(SQLModel):
    """What all tables share: one metadata, whose constraints are named the same on every database."""

    metadata: ClassVar[MetaData] = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        }
    )


class Changing(Table):
    """A table whose rows say by themselves in which transaction they were written last; ``changes`` tells of numbers.

    The number is no part of what a row says.
    """

    changed: int | None = Field(
        default=None,
        exclude=True,
        nullable=False,
        index=True,
        sa_type=BigInteger,
        sa_column_kwargs={"default": draw_number, "onupdate": draw_number, "server_default": text("0")},
    )


def core(table: type[Table]) -> sa.Table:
    """The SQLAlchemy Core table behind a table class, for bulk statements."""
    return Table.metadata.tables[str(table.__tablename__)]


class Engine(Changing, table=True):
    """An engine that somebody registered; nothing creates one by itself."""

    __tablename__ = "engine"

    id: int | None = Field(default=None, primary_key=True)
    serial: str = Field(unique=True)
    site: str
    type: str = "turbofan"
    status: str = "operational"  # an EngineStatus
    registered_at: datetime = Field(sa_type=UtcDateTime)
    cycles_per_day: float | None = None  # as somebody entered it, in the place of what is measured


class Gateway(Changing, table=True):
    """A gateway and the last status it sent; all of the latter is null until it is first heard of."""

    __tablename__ = "gateway"

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)
    site: str
    event: str | None = None
    session_counter: int | None = Field(default=None, sa_type=BigInteger)
    boot_nonce: str | None = None
    stream_id: str | None = None
    next_seq: int | None = Field(default=None, sa_type=BigInteger)
    heartbeat_interval_s: float | None = None
    agent_version: str | None = None
    sent_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    received_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    report: dict[str, Any] | None = Field(default=None, sa_type=NullableJson)


_STILL = text("installed_to IS NULL")


class Installation(Changing, table=True):
    """Where an engine hangs, from … to; ``installed_to`` is null while it still does.

    ``installation_cycle`` is the engine's age in cycles when it was hung there, null where nobody knows. That no two
    installations of an engine or of a position overlap is seen to by ``installations``; of those that last, by indexes.
    """

    __tablename__ = "installation"
    __table_args__ = (
        Index(
            "uq_installation_engine_id_still", "engine_id", unique=True, sqlite_where=_STILL, postgresql_where=_STILL
        ),
        Index(
            "uq_installation_position_still",
            *("gateway_id", "position"),
            unique=True,
            sqlite_where=_STILL,
            postgresql_where=_STILL,
        ),
        Index(None, "installed_from", "id"),
    )

    id: str = Field(primary_key=True)
    engine_id: int = Field(foreign_key="engine.id", index=True)
    gateway_id: int = Field(foreign_key="gateway.id", index=True)
    position: str
    installed_from: datetime = Field(sa_type=UtcDateTime)
    installed_to: datetime | None = Field(default=None, sa_type=UtcDateTime)
    installation_cycle: int | None = None


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


# The two tables that every record goes into have no foreign keys: what they point to is looked up in the same
# transaction and never deleted, and PostgreSQL would lock and check each of four rows for each record. There they are
# partitioned by the month of received_at (``partitions``), which is therefore part of their primary keys. That there
# is one record about one thing is seen to by ``taken_cycles``.


class Telemetry(Table, table=True):
    """One cycle row of one engine."""

    __tablename__ = "telemetry"
    __table_args__ = (Index(None, "engine_id", "cycle", "received_at"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=BigInt)
    engine_id: int
    installation_id: str
    cycle: int
    observed_at: datetime = Field(sa_type=UtcDateTime)
    received_at: datetime = Field(sa_type=UtcDateTime)
    clock_unsynced: bool
    channels: dict[str, float | None] = Field(sa_type=JSON)
    flags: dict[str, list[str]] = Field(sa_type=JSON)
    refusal: str | None = None
    stream: int
    seq: int = Field(sa_type=BigInteger)


class Model(Table, table=True):
    """A released model that some prediction names; ``sha256`` is of its .tflite file."""

    __tablename__ = "model"
    __table_args__ = (UniqueConstraint("name", "version", "sha256"),)

    id: int | None = Field(default=None, primary_key=True)
    name: str
    version: str
    sha256: str


class Prediction(Table, table=True):
    """One prediction with its lineage; ``request_id`` is empty where nobody asked for it."""

    __tablename__ = "prediction"
    __table_args__ = (
        Index(None, "engine_id", "cycle", "received_at"),
        Index(None, "model_id", "id"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=BigInt)
    engine_id: int
    installation_id: str
    cycle: int
    observed_at: datetime = Field(sa_type=UtcDateTime)
    predicted_at: datetime = Field(sa_type=UtcDateTime)
    received_at: datetime = Field(sa_type=UtcDateTime)
    rul_mean_cycles: float
    rul_q05_cycles: float
    rul_q50_cycles: float
    rul_q95_cycles: float
    cap_cycles: float
    model_id: int
    runtime: str
    window_first_cycle: int
    window_last_cycle: int
    window_rows: int
    flags: dict[str, list[str]] = Field(sa_type=JSON)
    input: bytes = Field(sa_type=LargeBinary)
    origin: str
    request_id: str = ""
    stream: int
    seq: int = Field(sa_type=BigInteger)


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


class CurrentState(Changing, table=True):
    """The latest row and prediction of an engine in its latest installation; each half moves only forward.

    ``*_stream_ordinal`` and ``*_seq`` say how far each half has come; a half that has not come yet is null. Utilisation
    (``cycles_per_day``) is measured by ``cycle_marks``, some of the rows of the last weeks. ``alarm_streaks`` counts by
    rule the latest records in a row that speak for raising its alarm, or for clearing it where it is raised.
    """

    __tablename__ = "current_state"
    __table_args__ = (Index(None, "rul_q05_cycles"), Index(None, "rul_q50_cycles"))

    engine_id: int = Field(foreign_key="engine.id", primary_key=True, sa_column_kwargs={"autoincrement": False})
    installation_id: str = Field(foreign_key="installation.id")
    gateway_id: int = Field(foreign_key="gateway.id")
    telemetry_stream_ordinal: int | None = None
    telemetry_seq: int | None = Field(default=None, sa_type=BigInteger)
    telemetry_cycle: int | None = None
    telemetry_observed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    telemetry_received_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    clock_unsynced: bool | None = None
    channels: dict[str, float | None] | None = Field(default=None, sa_type=NullableJson)
    telemetry_flags: dict[str, list[str]] | None = Field(default=None, sa_type=NullableJson)
    refusal: str | None = None
    cycle_marks: list[tuple[int, int]] | None = Field(default=None, sa_type=NullableJson)
    cycles_per_day: float | None = None
    prediction_stream_ordinal: int | None = None
    prediction_seq: int | None = Field(default=None, sa_type=BigInteger)
    prediction_cycle: int | None = None
    prediction_observed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    predicted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    prediction_received_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    rul_mean_cycles: float | None = None
    rul_q05_cycles: float | None = None
    rul_q50_cycles: float | None = None
    rul_q95_cycles: float | None = None
    cap_cycles: float | None = None
    model_id: int | None = Field(default=None, foreign_key="model.id")
    prediction_flags: dict[str, list[str]] | None = Field(default=None, sa_type=NullableJson)
    alarm_streaks: dict[str, int] | None = Field(default=None, sa_type=NullableJson)


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


class StoreFact(Table, table=True):
    """Facts about the store itself, such as its ``store_epoch``."""

    __tablename__ = "store_fact"

    key: str = Field(primary_key=True)
    value: str
