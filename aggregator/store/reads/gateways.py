"""Reads gateways with their last status."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy
from sqlalchemy import Subquery
from sqlmodel import Session, col, func, or_, select
from sqlmodel.sql.expression import Select

from aggregator.access.roles import Sites
from aggregator.fleet.liveness import LinkState, Signs, liveness_of
from aggregator.store.reads.fleet import as_signs, signs_of
from aggregator.store.reads.ranking import LAST_RECORD_AT
from aggregator.store.reads.whole import read_whole
from aggregator.store.tables import CurrentState, Gateway, core

PORTION = 1000

GatewayRow = tuple[Gateway, datetime | None]

_current, _gateway = core(CurrentState), core(Gateway)


def list_gateways(
    session: Session,
    sites: Sites,
    after: str | None = None,
    limit: int | None = None,
    *,
    search: str | None = None,
    link: tuple[LinkState, datetime] | None = None,
    descending: bool = False,
) -> Sequence[GatewayRow]:
    """Read gateways of these sites by name, each with when the last record of any of its engines was received.

    Args:
        session: of the store.
        sites: the sites that may be seen.
        after: the name to go on behind.
        limit: how many at most.
        search: what is somewhere in name or site, in any case.
        link: the state in which their links are at this time; no statement can tell, so more than these are read.
        descending: whether the last name comes first.
    """
    name = col(Gateway.name)
    every = _every().order_by(name.desc() if descending else name)
    if sites is not None:
        every = every.where(col(Gateway.site).in_(sorted(sites)))
    if search is not None:
        every = every.where(or_(*(one.icontains(search, autoescape=True) for one in (name, col(Gateway.site)))))
    found: list[GatewayRow] = []
    portion = limit if link is None else PORTION
    while True:
        statement = every if after is None else every.where(name < after if descending else name > after)
        rows = session.exec(statement.limit(portion)).all()
        if link is None:
            return rows
        state, now = link
        found += [row for row in rows if liveness_of(signs_of(*row), now).state is state]
        if len(rows) < PORTION or (limit is not None and len(found) >= limit):
            return found[:limit]
        after = rows[-1][0].name


def count_links(session: Session, sites: Sites, now: datetime) -> Counter[LinkState]:
    """Count the gateways of these sites by the state of their links."""
    latest = _latest_records()
    columns = (_gateway.c[name] for name in ("event", "received_at", "heartbeat_interval_s"))
    query = sqlalchemy.select(*columns, latest.c.last_record_at).outerjoin(latest, latest.c.gateway_id == _gateway.c.id)
    if sites is not None:
        query = query.where(_gateway.c.site.in_(sorted(sites)))
    return Counter(liveness_of(as_signs(*signs), now).state for signs in read_whole(session, query))


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
