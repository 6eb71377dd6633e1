"""The table of raw samples that were fetched from gateways."""

from datetime import datetime

from sqlalchemy import JSON, LargeBinary
from sqlmodel import Field

from aggregator.store.tables.base import Table, UtcDateTime


class FetchedSamples(Table, table=True):
    """One part of the answer to a command that fetches samples, as the gateway sent it.

    ``lines`` are JSON: time, the hardware's cycle, and a value for each of ``channels``. Of the last part, ``is_cut``
    says that there were more than were asked for, and ``oldest_at`` since when the gateway has any.
    """

    __tablename__ = "fetched_samples"

    command_id: str = Field(primary_key=True, foreign_key="gateway_command.id")
    part: int = Field(primary_key=True)
    samples: int
    channels: list[str] = Field(sa_type=JSON)
    lines: bytes = Field(sa_type=LargeBinary)
    is_last: bool
    is_cut: bool
    oldest_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
