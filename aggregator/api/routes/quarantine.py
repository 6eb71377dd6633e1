"""Messages that were refused and set aside: look at them, try them again, throw them away."""

from typing import Annotated

from fastapi import HTTPException, Path, Query, Request, Response
from pydantic import Field, TypeAdapter

from aggregator.access.roles import Role, Sites
from aggregator.api.deps import CentreDep, EngineerDep, NowDep, SessionDep, VisibleSites
from aggregator.api.paging import cursor_of, link_next, place_of, take
from aggregator.api.problems import problems
from aggregator.api.resources import resource
from aggregator.api.schemas.quarantine import (
    QuarantinedContent,
    QuarantinedMessage,
    QuarantinePage,
    QuarantineQuery,
    Redrive,
    Redriven,
)
from aggregator.api.selection import FieldsQuery
from aggregator.ingest.redrive import redrive
from aggregator.store.quarantine import discard
from aggregator.store.reads import Session
from aggregator.store.reads.quarantine import QuarantineFilter, count_given_up, find_quarantined, list_quarantine
from aggregator.store.tables import Quarantine

_PLACE: TypeAdapter[int] = TypeAdapter(Annotated[int, Field(ge=0, lt=2**63)])

Id = Annotated[int, Path(ge=1, le=2**31 - 1, description="The `id` of a quarantined message.")]

router = resource("quarantine", "/quarantine")


@router.get("", summary="List what was quarantined", responses=problems(422))
def read_quarantine(
    sites: VisibleSites,
    session: SessionDep,
    query: Annotated[QuarantineQuery, Query()],
    request: Request,
    response: Response,
) -> QuarantinePage:
    """Messages and records that could not be used, newest first, each with its reason.

    The quarantine is bounded: where it is full, the oldest of whoever fills it most are given up, and counted.
    """
    wanted, after = QuarantineFilter(query.gateway, query.engine), place_of(query.cursor, _PLACE)
    kept, last = take(list_quarantine(session, sites, wanted, after, query.limit + 1), query.limit)
    cursor = None if last is None else cursor_of(last.id)
    link_next(request, response, cursor)
    items = [QuarantinedMessage.of(message) for message in kept]
    return QuarantinePage(items=items, next=cursor, given_up=count_given_up(session) if sites is None else None)


@router.get("/{id:int}", summary="Look at one quarantined message", responses=problems(404, 422))
def read_message(
    id: Id, sites: VisibleSites, session: SessionDep, _: Annotated[FieldsQuery[QuarantinedContent], Query()]
) -> QuarantinedContent:
    """A message with its bytes as they came and, where they are JSON, what they say."""
    return QuarantinedContent.of(_find(session, sites, id))


@router.delete("/{id:int}", summary="Discard a quarantined message", status_code=204, responses=problems(404, 422))
def discard_message(id: Id, caller: EngineerDep, centre: CentreDep, now: NowDep) -> None:
    """Throw a message away for good.

    Of a record (`seq`) its gateway has forgotten it since it was quarantined; a message that could not be read was
    never answered, so its gateway may hold its records still and send them again.
    """
    with centre.store.session() as session:
        message = _find(session, caller.sites(Role.ENGINEER), id)
    if not discard(centre.store, message, now, by=caller):
        raise _no_such(id)


@router.post(
    "/{id:int}/redrive", summary="Redrive a quarantined message", status_code=204, responses=problems(404, 409, 422)
)
def redrive_message(id: Id, caller: EngineerDep, centre: CentreDep, now: NowDep) -> None:
    """Take a message as if it had just come, after whatever it was refused for was put right.

    A record then stands in the engine's history where it belongs. Refused again (409), it stays in the quarantine.
    """
    with centre.store.session() as session:
        message = _find(session, caller.sites(Role.ENGINEER), id)
    reason = redrive(centre.store, [message], now, by=caller, follow=centre.gateways.follow).get(id)
    if reason is not None:
        raise HTTPException(409, f"It is refused again: {reason}")


@router.post("/redrive", summary="Redrive many quarantined messages", responses=problems(422))
def redrive_messages(wanted: Redrive, caller: EngineerDep, centre: CentreDep, now: NowDep) -> Redriven:
    """Take messages as if they had just come, such as those of an engine whose installation was entered late.

    They are those of the sites where the caller is an engineer. What is refused again stays in the quarantine; go on
    behind it with `next`.
    """
    after = place_of(wanted.cursor, _PLACE)
    which = QuarantineFilter(wanted.gateway, wanted.engine)
    with centre.store.session() as session:
        sites = caller.sites(Role.ENGINEER)
        messages = list_quarantine(session, sites, which, after, wanted.limit + 1, oldest_first=True)
    kept, last = take(messages, wanted.limit)
    verdicts = redrive(centre.store, kept, now, by=caller, follow=centre.gateways.follow)
    refused = sum(reason is not None for reason in verdicts.values())
    cursor = None if last is None else cursor_of(last.id)
    return Redriven(taken=len(verdicts) - refused, refused=refused, next=cursor)


def _find(session: Session, sites: Sites, quarantine_id: int) -> Quarantine:
    message = find_quarantined(session, sites, quarantine_id)
    if message is None:
        raise _no_such(quarantine_id)
    return message


def _no_such(quarantine_id: int) -> HTTPException:
    return HTTPException(404, f"There is no message {quarantine_id} in the quarantine; was it given up or redriven?")
