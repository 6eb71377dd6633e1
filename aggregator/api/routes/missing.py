"""Records that will never come, as ranges of seqs."""

from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field, TypeAdapter

from aggregator.api.deps import SessionDep, VisibleSites
from aggregator.api.paging import Page, cursor_of, link_next, place_of, take
from aggregator.api.problems import problems
from aggregator.api.resources import resource
from aggregator.api.schemas.missing import MissingQuery, MissingRange
from aggregator.api.schemas.names import Name
from aggregator.store.reads.missing import list_missing

_Number = Annotated[int, Field(ge=0, lt=2**63)]
_PLACE: TypeAdapter[tuple[str, int, int]] = TypeAdapter(tuple[Name, _Number, _Number])

router = resource("missing", "/missing")


@router.get("", summary="List what will never come", responses=problems(422))
def read_missing(
    sites: VisibleSites,
    session: SessionDep,
    query: Annotated[MissingQuery, Query()],
    request: Request,
    response: Response,
) -> Page[MissingRange]:
    """Records dropped by a gateway's policy, or lost with an old store and held by nobody, by gateway and seq.

    Records that a gateway still holds, those asked for again included, are none of these: they are among the
    `unacked_records` of its status. A record that comes after all is taken, and its range stays listed.
    """
    rows = list_missing(session, sites, query.gateway, place_of(query.cursor, _PLACE), query.limit + 1)
    kept, last = take(rows, query.limit)
    cursor = None if last is None else cursor_of(last.place)
    link_next(request, response, cursor)
    return Page(items=[MissingRange.of(one) for one in kept], next=cursor)
