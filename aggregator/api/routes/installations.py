"""Installations: where engines hang and hung; enter, correct and end them."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import HTTPException, Path, Query, Request, Response
from pydantic import TypeAdapter

from aggregator.access.roles import Role, Sites
from aggregator.api.deps import CentreDep, EngineerDep, NowDep, SessionDep, VisibleSites
from aggregator.api.etags import ETAG, IfMatch, seen_versions, tag
from aggregator.api.paging import Page, cursor_of, link_next, place_of, take
from aggregator.api.problems import edit_problem, problems
from aggregator.api.resources import resource
from aggregator.api.schemas.installations import (
    Installation,
    InstallationChange,
    InstallationId,
    InstallationQuery,
    NewInstallation,
)
from aggregator.api.schemas.names import AwareUtc
from aggregator.api.selection import FieldsQuery
from aggregator.store import installations
from aggregator.store.reads import Session
from aggregator.store.reads.installations import InstallationFilter, find_installation, list_installations
from shared.errors import SpoolwatchError

_PLACE: TypeAdapter[tuple[datetime, str]] = TypeAdapter(tuple[AwareUtc, InstallationId])

Id = Annotated[InstallationId, Path()]

router = resource("installations", "/installations")


@router.get("", summary="List installations", responses=problems(422))
def read_installations(
    sites: VisibleSites,
    session: SessionDep,
    query: Annotated[InstallationQuery, Query()],
    request: Request,
    response: Response,
) -> Page[Installation]:
    """Where engines hang and hung, those that began last first."""
    wanted = InstallationFilter(query.engine, query.gateway, query.at)
    rows = list_installations(session, sites, wanted, place_of(query.cursor, _PLACE), query.limit + 1)
    kept, last = take(rows, query.limit)
    cursor = None if last is None else cursor_of((last.installation.installed_from, last.installation.id))
    link_next(request, response, cursor)
    return Page(items=[Installation.of(row) for row in kept], next=cursor)


@router.post(
    "",
    summary="Install an engine",
    status_code=201,
    responses={201: {"headers": ETAG}, **problems(404, 409, 422)},
)
def install(
    wanted: NewInstallation, caller: EngineerDep, centre: CentreDep, now: NowDep, response: Response
) -> Installation:
    """Enter that an engine was hung at a position of a gateway; it then is of the gateway's site.

    An engine hangs at one position at a time, and a position holds one engine at a time (409): to swap engines, end
    the one's installation first. Records that were quarantined meanwhile can be redriven then.
    """
    entered = installations.NewInstallation(**wanted.model_dump() | {"installed_from": wanted.installed_from or now})
    try:
        installation_id = installations.install(centre.store, entered, now, by=caller)
    except SpoolwatchError as error:
        raise edit_problem(error) from error
    centre.fleet_changed()
    response.headers["Location"] = f"/api/v1/installations/{installation_id}"
    with centre.store.session() as session:
        return _show(session, caller.sites(Role.VIEWER), installation_id, response)


@router.get("/{id}", summary="Look at one installation", responses={200: {"headers": ETAG}, **problems(404, 422)})
def read_installation(
    id: Id,
    sites: VisibleSites,
    session: SessionDep,
    response: Response,
    _: Annotated[FieldsQuery[Installation], Query()],
) -> Installation:
    """One installation, with the `ETag` to change it by."""
    return _show(session, sites, id, response)


@router.patch(
    "/{id}",
    summary="Correct or end an installation",
    responses={200: {"headers": ETAG}, **problems(404, 409, 412, 422)},
)
def amend(
    id: Id,
    change: InstallationChange,
    caller: EngineerDep,
    centre: CentreDep,
    now: NowDep,
    response: Response,
    if_match: IfMatch = None,
) -> Installation:
    """Correct what was entered, or enter in `installed_to` when the engine was removed.

    Records that were taken stay with it; those observed after its end are quarantined from now on.
    """
    wanted: Any = change.model_dump(exclude_unset=True)
    for name in ("position", "installed_from"):
        if wanted.get(name, "") is None:
            del wanted[name]
    try:
        installations.amend(centre.store, id, wanted, now, seen_versions(if_match), by=caller)
    except SpoolwatchError as error:
        raise edit_problem(error) from error
    centre.fleet_changed()
    with centre.store.session() as session:
        return _show(session, caller.sites(Role.VIEWER), id, response)


def _show(session: Session, sites: Sites, installation_id: str, response: Response) -> Installation:
    row = find_installation(session, sites, installation_id)
    if row is None:
        raise HTTPException(404, f"There is no installation {installation_id}.")
    tag(response, row.installation)
    return Installation.of(row)
