"""Engines: list, register, look at one."""

from typing import Annotated, Any, cast

from fastapi import Query, Request, Response
from pydantic import FiniteFloat, TypeAdapter

from aggregator.access.roles import Role, Sites
from aggregator.api.deps import Centre, CentreDep, EngineerDep, NowDep, Serial, SessionDep, VisibleSites
from aggregator.api.etags import ETAG, IfMatch, seen_versions, tag
from aggregator.api.paging import Page, cursor_of, place_of, take, written_page
from aggregator.api.problems import edit_problem, no_such_engine, not_at, problems
from aggregator.api.resources import resource
from aggregator.api.schemas.engines import (
    Engine,
    EngineChange,
    EngineDetails,
    EngineQuery,
    EngineRegistration,
    engine_shown,
)
from aggregator.api.schemas.names import AwareUtc, Name
from aggregator.api.selection import FieldsQuery
from aggregator.fleet.channels import statistics_of
from aggregator.store.reads import Session
from aggregator.store.reads.engine import find_engine, latest_channels
from aggregator.store.reads.fleet import (
    EngineFilter,
    list_engines,
    list_engines_by_link,
    place_in,
)
from aggregator.store.reads.ranking import EngineOrder, SortKey, SortValue
from aggregator.store.registry import Registration, edit_engine, register_engine
from shared.errors import SpoolwatchError

STATISTICS_ROWS = 100
"""As many as the models look at: over a whole life, or part of one, there are buckets."""

router = resource("engines", "/engines")

_PLACES: dict[SortKey, TypeAdapter[tuple[SortValue, str]]] = {
    "serial": TypeAdapter(tuple[Name, Name]),
    "rul": TypeAdapter(tuple[FiniteFloat, Name]),
    "risk": TypeAdapter(tuple[FiniteFloat, Name]),
    "last_seen": TypeAdapter(tuple[AwareUtc, Name]),
}


# Lists are written from their fields: to make models of them first would take as long as to read them.


@router.get("", summary="List engines", response_model=Page[Engine], responses=problems(422))
def read_engines(
    sites: VisibleSites,
    session: SessionDep,
    centre: CentreDep,
    now: NowDep,
    query: Annotated[EngineQuery, Query()],
    request: Request,
) -> Response:
    """Engines with their latest state, filtered, sorted and in pages."""
    order = EngineOrder(cast(SortKey, query.sort.removeprefix("-")), descending=query.sort.startswith("-"))
    wanted = EngineFilter(
        **query.model_dump(include={"site", "type", "status", "gateway", "band", "model"}),
        thresholds=centre.thresholds,
    )
    place = place_of(query.cursor, _PLACES[order.key])
    if query.liveness is None:
        rows = list_engines(session, sites, wanted, order, place, query.limit + 1)
    else:
        rows = list_engines_by_link(session, sites, query.liveness, now, wanted, order, place, query.limit + 1)
    kept, last = take(rows, query.limit)
    cursor = None if last is None else cursor_of(place_in(order, last))
    return written_page(request, {"items": [engine_shown(row, now) for row in kept], "next": cursor})


@router.post(
    "",
    summary="Register an engine",
    status_code=201,
    responses={
        200: {"model": EngineDetails, "description": "It was registered like this already.", "headers": ETAG},
        201: {"headers": ETAG},
        **problems(409, 422),
    },
)
def register(
    registration: EngineRegistration, caller: EngineerDep, centre: CentreDep, now: NowDep, response: Response
) -> EngineDetails:
    """Make an engine known and, where it hangs at a gateway already, say so, so that its records are taken.

    The gateway is registered with it where it is not known yet. To register the same once more changes nothing.
    """
    if not caller.may(Role.ENGINEER, registration.site):
        raise not_at(registration.site, Role.ENGINEER)
    wanted = registration.model_dump() | ({} if registration.gateway else {"position": None})
    try:
        new = register_engine(centre.store, Registration(**wanted), now, by=caller)
    except SpoolwatchError as error:
        raise edit_problem(error) from error
    centre.fleet_changed()
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"/api/v1/engines/{registration.serial}"
    with centre.store.session() as session:
        return _show(centre, session, caller.sites(Role.VIEWER), registration.serial, response)


@router.get("/{serial}", summary="Look at one engine", responses={200: {"headers": ETAG}, **problems(404, 422)})
def read_engine(
    serial: Serial,
    centre: CentreDep,
    sites: VisibleSites,
    session: SessionDep,
    response: Response,
    _: Annotated[FieldsQuery[EngineDetails], Query()],
) -> EngineDetails:
    """All that is known of its present state: latest row, prediction with lineage, statistics, liveness."""
    return _show(centre, session, sites, serial, response)


@router.patch("/{serial}", summary="Edit an engine", responses={200: {"headers": ETAG}, **problems(404, 409, 412, 422)})
def edit(
    serial: Serial,
    change: EngineChange,
    caller: EngineerDep,
    centre: CentreDep,
    now: NowDep,
    response: Response,
    if_match: IfMatch = None,
) -> EngineDetails:
    """Change what is registered of an engine, or retire it. Its history stays, under its serial."""
    wanted: Any = change.model_dump(exclude_none=True)
    if "cycles_per_day" in change.model_fields_set:
        wanted["cycles_per_day"] = change.cycles_per_day
    try:
        edit_engine(centre.store, serial, wanted, now, seen_versions(if_match), by=caller)
    except SpoolwatchError as error:
        raise edit_problem(error) from error
    centre.fleet_changed()
    with centre.store.session() as session:
        return _show(centre, session, caller.sites(Role.VIEWER), serial, response)


def _show(centre: Centre, session: Session, sites: Sites, serial: str, response: Response) -> EngineDetails:
    detail = find_engine(session, sites, serial, centre.thresholds)
    if detail is None:
        raise no_such_engine(serial)
    tag(response, detail.engine)
    rows = [] if detail.current is None else latest_channels(session, detail.current, STATISTICS_ROWS)
    return EngineDetails.of_detail(detail, len(rows), statistics_of(rows), centre.now())
