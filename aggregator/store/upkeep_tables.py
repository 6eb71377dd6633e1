"""Tables that retention rests on; no foreign keys, for the reason that ``tables`` gives for records."""

from sqlmodel import BigInteger, Field

from aggregator.store.tables import Table


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
