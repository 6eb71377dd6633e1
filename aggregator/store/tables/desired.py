"""Tables of what gateways are told of their engines: overhauls, and the message of each gateway."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, LargeBinary, UniqueConstraint
from sqlmodel import Field

from aggregator.store.tables.base import Table, UtcDateTime


class Overhaul(Table, table=True):
    """An overhaul of an engine, after which it is as new; ``epoch`` counts those of an engine from 1.

    Where the engine hung at that time, ``installation_id`` says where, and ``after_cycle`` after which of its source's
    cycles it was.
    """

    __tablename__ = "overhaul"
    __table_args__ = (UniqueConstraint("engine_id", "epoch"),)

    id: int | None = Field(default=None, primary_key=True)
    engine_id: int = Field(foreign_key="engine.id")
    epoch: int
    at: datetime = Field(sa_type=UtcDateTime)
    installation_id: str | None = Field(default=None, foreign_key="installation.id")
    after_cycle: int | None = None


class GatewayDesired(Table, table=True):
    """What a gateway is told of its engines: the encoded message and its ordinal, null before the first.

    It is ``stale`` once something has changed, and made anew by whichever aggregator sees that first. One made under
    another ``store_epoch`` is, too: the store was restored, and gateways may know of later ones.
    """

    __tablename__ = "gateway_desired"
    __table_args__ = (Index(None, "ordinal"), Index(None, "stale"))

    gateway_id: int = Field(foreign_key="gateway.id", primary_key=True, sa_column_kwargs={"autoincrement": False})
    stale: bool = True
    ordinal: int | None = Field(default=None, sa_type=BigInteger)
    store_epoch: str | None = None
    body: bytes | None = Field(default=None, sa_type=LargeBinary)
