"""The audit log: who changed what, and which logins failed."""

from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field, TypeAdapter

from aggregator.access.roles import Role
from aggregator.api.deps import AdminDep, SessionDep
from aggregator.api.paging import Page, PageQuery, cursor_of, link_next, place_of, take
from aggregator.api.problems import problems
from aggregator.api.resources import resource
from aggregator.api.schemas.access import AuditEntry
from aggregator.store.audit import list_audit

_PLACE: TypeAdapter[int] = TypeAdapter(Annotated[int, Field(ge=0, lt=2**63)])

router = resource("access", "/audit")


@router.get("", summary="Read the audit log", responses=problems(422))
def read_audit(
    caller: AdminDep,
    session: SessionDep,
    query: Annotated[PageQuery[AuditEntry], Query()],
    request: Request,
    response: Response,
) -> Page[AuditEntry]:
    """Changes and failed logins, newest first; an admin of some sites reads those of these sites."""
    after = place_of(query.cursor, _PLACE)
    kept, last = take(list_audit(session, caller.sites(Role.ADMIN), after, query.limit + 1), query.limit)
    cursor = None if last is None else cursor_of(last.id)
    link_next(request, response, cursor)
    return Page(items=[AuditEntry.of(entry) for entry in kept], next=cursor)
