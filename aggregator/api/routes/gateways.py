"""Gateways: list them with their last status, look at one, register one."""

from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import TypeAdapter

from aggregator.access.roles import Role
from aggregator.api.deps import CentreDep, EngineerDep, NowDep, SessionDep, VisibleSites
from aggregator.api.paging import Page, PageQuery, cursor_of, link_next, place_of, take
from aggregator.api.problems import edit_problem, not_at, problems
from aggregator.api.resources import resource
from aggregator.api.routes.commands import GatewayName, gateway_at
from aggregator.api.schemas.gateways import Gateway, GatewayRegistration
from aggregator.api.schemas.names import Name
from aggregator.api.selection import FieldsQuery
from aggregator.store.reads.gateways import find_gateway, list_gateways
from aggregator.store.registry import register_gateway
from shared.errors import SpoolwatchError

_PLACE: TypeAdapter[str] = TypeAdapter(Name)

router = resource("gateways", "/gateways")


@router.get("", summary="List gateways", responses=problems(422))
def read_gateways(
    sites: VisibleSites,
    session: SessionDep,
    now: NowDep,
    query: Annotated[PageQuery[Gateway], Query()],
    request: Request,
    response: Response,
) -> Page[Gateway]:
    """Gateways by name, each with its last status and whether it is heard from."""
    kept, last = take(list_gateways(session, sites, place_of(query.cursor, _PLACE), query.limit + 1), query.limit)
    cursor = None if last is None else cursor_of(last[0].name)
    link_next(request, response, cursor)
    return Page(items=[Gateway.of(*row, now) for row in kept], next=cursor)


@router.post(
    "",
    summary="Register a gateway",
    status_code=201,
    responses={200: {"model": Gateway, "description": "It was registered like this already."}, **problems(409, 422)},
)
def register(
    registration: GatewayRegistration, caller: EngineerDep, centre: CentreDep, now: NowDep, response: Response
) -> Gateway:
    """Make a gateway known, so that engines can be installed there. To register the same once more changes nothing."""
    if not caller.may(Role.ENGINEER, registration.site):
        raise not_at(registration.site, Role.ENGINEER)
    try:
        new = register_gateway(centre.store, registration.name, registration.site, now, by=caller)
    except SpoolwatchError as error:
        raise edit_problem(error) from error
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"/api/v1/gateways/{registration.name}"
    with centre.store.session() as session:
        return Gateway.of(*find_gateway(session, registration.name), now)


@router.get("/{name}", summary="Look at one gateway", responses=problems(404, 422))
def read_gateway(
    name: GatewayName,
    sites: VisibleSites,
    session: SessionDep,
    now: NowDep,
    _: Annotated[FieldsQuery[Gateway], Query()],
) -> Gateway:
    """Its last status, and whether it is heard from."""
    return Gateway.of(*gateway_at(session, sites, name), now)
