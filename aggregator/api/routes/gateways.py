"""Gateways with their last status."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import TypeAdapter

from aggregator.api.deps import NowDep, SessionDep, VisibleSites
from aggregator.api.paging import Page, PageQuery, cursor_of, link_next, place_of, take
from aggregator.api.problems import problems
from aggregator.api.schemas.gateways import Gateway
from aggregator.api.schemas.names import Name
from aggregator.store.reads.gateways import list_gateways

_PLACE: TypeAdapter[str] = TypeAdapter(Name)

router = APIRouter(prefix="/gateways", tags=["gateways"])


@router.get("", summary="List gateways", responses=problems(422))
def read_gateways(
    session: SessionDep,
    sites: VisibleSites,
    now: NowDep,
    query: Annotated[PageQuery, Query()],
    request: Request,
    response: Response,
) -> Page[Gateway]:
    """Gateways by name, each with its last status and whether it is heard from."""
    kept, last = take(list_gateways(session, sites, place_of(query.cursor, _PLACE), query.limit + 1), query.limit)
    cursor = None if last is None else cursor_of(last[0].name)
    link_next(request, response, cursor)
    return Page(items=[Gateway.of(*row, now) for row in kept], next=cursor)
