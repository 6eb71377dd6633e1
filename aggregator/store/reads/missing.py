"""Reads which seqs of which gateway will never come, and why."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select, tuple_
from sqlmodel import Session

from aggregator.access.roles import Sites
from aggregator.store.tables import Gateway, MissingRange, Stream, core

_gateway, _stream, _missing = core(Gateway), core(Stream), core(MissingRange)
_PLACE = (_gateway.c.name, _stream.c.ordinal, _missing.c.first_seq)


class Missing(NamedTuple):
    """Seqs in a row, both ends included, of one stream of a gateway; ``ordinal`` counts that gateway's streams."""

    gateway: str
    ordinal: int
    stream_id: str
    first_seq: int
    last_seq: int
    reason: str
    noticed_at: datetime

    @property
    def place(self) -> tuple[str, int, int]:
        """What the list is ordered by."""
        return self.gateway, self.ordinal, self.first_seq


def list_missing(
    session: Session,
    sites: Sites,
    gateway: str | None = None,
    after: tuple[str, int, int] | None = None,
    limit: int | None = None,
) -> Sequence[Missing]:
    """Read what is missing of the gateways of these sites, or of one, by gateway, stream and seq.

    ``after`` is a ``place`` to go on behind.
    """
    statement = (
        select(*_PLACE[:2], _stream.c.stream_id, *(_missing.c[name] for name in Missing._fields[3:]))
        .join(_stream, _stream.c.id == _missing.c.stream)
        .join(_gateway, _gateway.c.id == _missing.c.gateway_id)
        .order_by(*_PLACE)
        .limit(limit)
    )
    if sites is not None:
        statement = statement.where(_gateway.c.site.in_(sorted(sites)))
    if gateway is not None:
        statement = statement.where(_gateway.c.name == gateway)
    if after is not None:
        statement = statement.where(tuple_(*_PLACE) > tuple_(*after))
    return [Missing(*row) for row in session.connection().execute(statement)]
