"""Tables that the store keeps itself by; none has foreign keys, no more than the tables of records have."""

from datetime import date, datetime

from sqlmodel import JSON, BigInteger, Field

from aggregator.store.tables.base import Table, UtcDateTime


class TakenCycles(Table, table=True):
    """The second key: of which cycles there is, or was, a record; ``cycles`` is one bit each, from ``block * 63`` on.

    The last three of the other columns are empty for telemetry. What is pruned keeps its bit.
    """

    __tablename__ = "taken_cycles"
    __table_args__ = ({"sqlite_with_rowid": False},)

    engine_id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    installation_id: str = Field(primary_key=True)
    model_id: int = Field(default=0, primary_key=True, sa_column_kwargs={"autoincrement": False})
    origin: str = Field(default="", primary_key=True)
    request_id: str = Field(default="", primary_key=True)
    block: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    cycles: int = Field(sa_type=BigInteger)


class DayRollUp(Table, table=True):
    """What is left of pruned records: those of one kind, engine, installation and day, summed up.

    ``quantities`` has, by channel or by column of the prediction, how many values there were, their minimum, maximum
    and sum. The day is the one they were observed on, as far as the gateway's clock can be trusted.
    """

    __tablename__ = "day_roll_up"

    kind: str = Field(primary_key=True)  # the table they were in
    engine_id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    installation_id: str = Field(primary_key=True)
    day: date = Field(primary_key=True)
    first_cycle: int
    last_cycle: int
    rows: int
    quantities: dict[str, tuple[int, float, float, float]] = Field(sa_type=JSON)


class Lease(Table, table=True):
    """Which aggregator does what only one of several is to do, and until when."""

    __tablename__ = "lease"

    task: str = Field(primary_key=True)
    holder: str
    until: datetime = Field(sa_type=UtcDateTime)


class StoreFact(Table, table=True):
    """Facts about the store itself, such as its ``store_epoch``."""

    __tablename__ = "store_fact"

    key: str = Field(primary_key=True)
    value: str
