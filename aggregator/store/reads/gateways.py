"""Reads gateways with their last status."""

from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy
from sqlalchemy import Subquery
from sqlmodel import Session, col, func, select
from sqlmodel.sql.expression import Select

from aggregator.access.roles import Sites
from aggregator.fleet.liveness import Signs
from aggregator.store.reads.fleet import as_signs
from aggregator.store.reads.ranking import LAST_RECORD_AT
from aggregator.store.tables import CurrentState, Gateway, core

_current, _gateway = core(CurrentState), core(Gateway)


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


def find_gateways(session: Session, ids: Collection[int]) -> Sequence[tuple[Gateway, datetime | None]]:
    """Read gateways by the keys of their rows, as the list does."""
    here = select(func.max(LAST_RECORD_AT)).where(_current.c.gateway_id == col(Gateway.id)).scalar_subquery()
    return session.exec(select(Gateway, here).where(col(Gateway.id).in_(ids)).order_by(col(Gateway.name))).all()


def list_signs(session: Session) -> list[tuple[int, Signs]]:
    """Read of every gateway that was ever heard from its key, and what its liveness is judged by."""
    latest = _latest_records()
    columns = (_gateway.c[name] for name in ("id", "event", "received_at", "heartbeat_interval_s"))
    query = sqlalchemy.select(*columns, latest.c.last_record_at).outerjoin(latest, latest.c.gateway_id == _gateway.c.id)
    return [(gateway_id, as_signs(*signs)) for gateway_id, *signs in session.connection().execute(query)]


def _every() -> Select[Gateway, datetime | None]:
    latest = _latest_records()
    return select(Gateway, latest.c.last_record_at).outerjoin(latest, latest.c.gateway_id == col(Gateway.id))


def _latest_records() -> Subquery:
    latest = func.max(LAST_RECORD_AT).label("last_record_at")
    return select(_current.c.gateway_id, latest).group_by(_current.c.gateway_id).subquery()
