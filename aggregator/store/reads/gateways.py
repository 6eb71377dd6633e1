"""Reads gateways with their last status, and what was quarantined from them."""

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session, col, func, select

from aggregator.access.roles import Sites
from aggregator.store.quarantine_bound import GIVEN_UP
from aggregator.store.reads.fleet import LAST_RECORD_AT
from aggregator.store.tables import CurrentState, Gateway, Quarantine, StoreFact, core

_current = core(CurrentState)


def list_gateways(
    session: Session, sites: Sites, after: str | None = None, limit: int | None = None
) -> Sequence[tuple[Gateway, datetime | None]]:
    """Read gateways of these sites by name, each with when the last record of any of its engines was received."""
    latest = (
        select(_current.c.gateway_id, func.max(LAST_RECORD_AT).label("last_record_at"))
        .group_by(_current.c.gateway_id)
        .subquery()
    )
    statement = (
        select(Gateway, latest.c.last_record_at)
        .outerjoin(latest, latest.c.gateway_id == col(Gateway.id))
        .order_by(col(Gateway.name))
        .limit(limit)
    )
    if sites is not None:
        statement = statement.where(col(Gateway.site).in_(sorted(sites)))
    if after is not None:
        statement = statement.where(col(Gateway.name) > after)
    return session.exec(statement).all()


def list_quarantine(
    session: Session, sites: Sites, after: int | None = None, limit: int | None = None
) -> Sequence[Quarantine]:
    """Read what was quarantined at these sites, newest first; ``after`` is the id to go on behind."""
    statement = select(Quarantine).order_by(col(Quarantine.id).desc()).limit(limit)
    if sites is not None:
        statement = statement.where(col(Quarantine.site).in_(sorted(sites)))
    if after is not None:
        statement = statement.where(col(Quarantine.id) < after)
    return session.exec(statement).all()


def count_given_up(session: Session) -> int:
    """How many messages and records the quarantine had to give up since the store was made."""
    return int(session.exec(select(StoreFact.value).where(StoreFact.key == GIVEN_UP)).first() or 0)
