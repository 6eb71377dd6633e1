"""Engines: list, register, look at one."""

from datetime import datetime
from typing import Annotated, cast

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import TypeAdapter

from aggregator.access.roles import Role, Sites
from aggregator.api.deps import CentreDep, EngineerDep, NowDep, Serial, SessionDep, VisibleSites
from aggregator.api.paging import Page, cursor_of, link_next, place_of, take
from aggregator.api.problems import invalid, no_such_engine, not_at, problems
from aggregator.api.schemas.engines import Engine, EngineDetails, EngineQuery, EngineRegistration
from aggregator.api.schemas.names import Name
from aggregator.fleet.channels import statistics_of
from aggregator.store.reads import Session
from aggregator.store.reads.engine import find_engine, latest_rows
from aggregator.store.reads.fleet import EngineFilter, EngineOrder, SortKey, SortValue, list_engines
from aggregator.store.registry import Registration, RegistryError, register_engine
from shared.errors import TopicError

STATISTICS_ROWS = 1000

router = APIRouter(prefix="/engines", tags=["engines"])

_PLACES: dict[SortKey, TypeAdapter[tuple[SortValue, str]]] = {
    "serial": TypeAdapter(tuple[Name, Name]),
    "rul": TypeAdapter(tuple[float, Name]),
    "last_seen": TypeAdapter(tuple[datetime, Name]),
}


@router.get("", summary="List engines", responses=problems(422))
def read_engines(
    session: SessionDep,
    sites: VisibleSites,
    now: NowDep,
    query: Annotated[EngineQuery, Query()],
    request: Request,
    response: Response,
) -> Page[Engine]:
    """Engines with their latest state, filtered, sorted and in pages."""
    order = EngineOrder(cast(SortKey, query.sort.removeprefix("-")), descending=query.sort.startswith("-"))
    rows = list_engines(
        session,
        sites,
        EngineFilter(site=query.site, status=query.status, gateway=query.gateway, band=query.band),
        order,
        place_of(query.cursor, _PLACES[order.key]),
        query.limit + 1,
    )
    kept, last = take(rows, query.limit)
    cursor = None if last is None else cursor_of((order.value_of(last), last.serial))
    link_next(request, response, cursor)
    return Page(items=[Engine.of(row, now) for row in kept], next=cursor)


@router.post(
    "",
    summary="Register an engine",
    status_code=201,
    responses={
        200: {"model": EngineDetails, "description": "It was registered like this already."},
        **problems(409, 422),
    },
)
def register(
    registration: EngineRegistration, caller: EngineerDep, centre: CentreDep, response: Response
) -> EngineDetails:
    """Make an engine known and say where it hangs, so that its records are taken.

    The gateway is registered with it where it is not known yet. To register the same once more changes nothing.
    """
    if not caller.may(Role.ENGINEER, registration.site):
        raise not_at(registration.site, Role.ENGINEER)
    try:
        new = register_engine(centre.store, Registration(**registration.model_dump()))
    except TopicError as error:
        raise invalid("body", str(error)) from error
    except RegistryError as error:
        raise HTTPException(409, str(error)) from error
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"/api/v1/engines/{registration.serial}"
    with centre.store.session() as session:
        return _show(session, caller.sites(Role.VIEWER), registration.serial, centre.now())


@router.get("/{serial}", summary="Look at one engine", responses=problems(404, 422))
def read_engine(serial: Serial, session: SessionDep, sites: VisibleSites, now: NowDep) -> EngineDetails:
    """All that is known of its present state: latest row, prediction with lineage, statistics, liveness."""
    return _show(session, sites, serial, now)


def _show(session: Session, sites: Sites, serial: str, now: datetime) -> EngineDetails:
    detail = find_engine(session, sites, serial)
    if detail is None:
        raise no_such_engine(serial)
    rows = [] if detail.current is None else latest_rows(session, detail.current, STATISTICS_ROWS)
    return EngineDetails.of_detail(detail, len(rows), statistics_of(row.channels for row in rows), now)
