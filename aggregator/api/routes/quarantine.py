"""Messages that were refused and set aside, with the reason."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field, TypeAdapter

from aggregator.api.deps import SessionDep, VisibleSites
from aggregator.api.paging import PageQuery, cursor_of, link_next, place_of, take
from aggregator.api.problems import problems
from aggregator.api.schemas.gateways import QuarantinedMessage, QuarantinePage
from aggregator.store.reads.gateways import count_given_up, list_quarantine

_PLACE: TypeAdapter[int] = TypeAdapter(Annotated[int, Field(ge=0, lt=2**63)])

router = APIRouter(prefix="/quarantine", tags=["quarantine"])


@router.get("", summary="List what was quarantined", responses=problems(422))
def read_quarantine(
    session: SessionDep,
    sites: VisibleSites,
    query: Annotated[PageQuery, Query()],
    request: Request,
    response: Response,
) -> QuarantinePage:
    """Messages and records that could not be used, newest first, each with its reason and its bytes.

    The quarantine is bounded: where it is full, the oldest of whoever fills it most are given up, and counted.
    """
    kept, last = take(list_quarantine(session, sites, place_of(query.cursor, _PLACE), query.limit + 1), query.limit)
    cursor = None if last is None else cursor_of(last.id)
    link_next(request, response, cursor)
    items = [QuarantinedMessage.of(message) for message in kept]
    return QuarantinePage(items=items, next=cursor, given_up=count_given_up(session))
