"""Tables of who may connect to the broker: one-time tokens of gateways, and the certificates that they got for them."""

from datetime import datetime

from sqlmodel import Field, LargeBinary

from aggregator.store.tables.base import Table, UtcDateTime


class EnrolmentToken(Table, table=True):
    """The token by which a gateway may enrol; a new one takes the place of the one before, and a used one is gone."""

    __tablename__ = "enrolment_token"

    gateway_id: int = Field(foreign_key="gateway.id", primary_key=True, sa_column_kwargs={"autoincrement": False})
    id: str = Field(unique=True)
    digest: bytes = Field(sa_type=LargeBinary)
    expires_at: datetime = Field(sa_type=UtcDateTime)


class GatewayCertificate(Table, table=True):
    """A certificate that is let in; one that was revoked, or that a younger one has replaced, is gone."""

    __tablename__ = "gateway_certificate"

    id: str = Field(primary_key=True)
    gateway_id: int = Field(foreign_key="gateway.id", index=True)
    issued_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
