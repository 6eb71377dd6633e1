"""The table of requests that may come again."""

from datetime import datetime

from sqlmodel import Field, LargeBinary

from aggregator.store.tables.base import NullableJson, Table, UtcDateTime


class KeyedRequest(Table, table=True):
    """A request that its caller has named by a key; ``status`` is null until it is answered.

    ``digest`` is keyed by a secret outside the store: it is taken of bodies that may hold a password.
    ``body`` is null where the answer is not kept: because it is secret, or takes too much room.
    """

    __tablename__ = "keyed_request"

    caller: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    digest: bytes = Field(sa_type=LargeBinary)
    begun_at: datetime = Field(sa_type=UtcDateTime, index=True)
    status: int | None = None
    headers: dict[str, str] | None = Field(default=None, sa_type=NullableJson)
    body: bytes | None = Field(default=None, sa_type=LargeBinary)
