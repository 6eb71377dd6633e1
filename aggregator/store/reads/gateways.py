"""Reads gateways with their last status."""

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session, col, func, select
from sqlmodel.sql.expression import Select

from aggregator.access.roles import Sites
from aggregator.store.reads.fleet import LAST_RECORD_AT
from aggregator.store.tables import CurrentState, Gateway, core

_current = core(CurrentState)


def list_gateways(
    session: Session, sites: Sites, after: str | None = None, limit: int | None = None
) -> Sequence[tuple[Gateway, datetime | None]]:
    """Read gateways of these sites by name, each with when the last record of any of its engines was received."""
    statement = _every().order_by(col(Gateway.name)).limit(limit)
    if sites is not None:
        statement = statement.where(col(Gateway.site).in_(sorted(sites)))
    if after is not None:
        statement = statement.where(col(Gateway.name) > after)
    return session.exec(statement).all()


def find_gateway(session: Session, name: str) -> tuple[Gateway, datetime | None]:
    """Read one gateway that is registered, as the list does."""
    return session.exec(_every().where(Gateway.name == name)).one()


def find_gateway_at(session: Session, sites: Sites, name: str) -> tuple[Gateway, datetime | None] | None:
    """Read one gateway of these sites, as the list does; None where there is none."""
    statement = _every().where(Gateway.name == name)
    if sites is not None:
        statement = statement.where(col(Gateway.site).in_(sorted(sites)))
    return session.exec(statement).first()


def _every() -> Select[Gateway, datetime | None]:
    latest = (
        select(_current.c.gateway_id, func.max(LAST_RECORD_AT).label("last_record_at"))
        .group_by(_current.c.gateway_id)
        .subquery()
    )
    return select(Gateway, latest.c.last_record_at).outerjoin(latest, latest.c.gateway_id == col(Gateway.id))
