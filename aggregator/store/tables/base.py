"""What the tables share: their column types, their metadata, and rows that tell when they were written."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, MetaData, TypeDecorator, text
from sqlmodel import Field, SQLModel

from aggregator.store.changes import draw_number

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
