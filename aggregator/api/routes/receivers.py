"""Who is told of alarms, for admins of the site: list, add, test, edit, delete; and what they were told."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import Field, TypeAdapter

from aggregator.access.roles import EVERYWHERE, Caller, Role
from aggregator.access.sealing import SealError
from aggregator.api.deps import AdminDep, Centre, CentreDep, NowDep, SessionDep
from aggregator.api.etags import ETAG, IfMatch, seen_versions, tag
from aggregator.api.paging import Page, cursor_of, link_next, place_of, take
from aggregator.api.problems import edit_problem, invalid, not_at, problems
from aggregator.api.resources import resource
from aggregator.api.schemas.receivers import (
    ChangeEvent,
    MadeReceiver,
    NewReceiver,
    Notification,
    NotificationQuery,
    Receiver,
    ReceiverContent,
    ReceiverList,
    Rotation,
    SendAgain,
    SentAgain,
    Tested,
)
from aggregator.api.selection import FieldsQuery
from aggregator.notify.outcome import AddressError
from aggregator.store import receivers
from aggregator.store.notifications import send_again
from aggregator.store.reads import Session
from aggregator.store.reads.notifications import list_notifications
from aggregator.store.tables import Receiver as Row
from shared.errors import SpoolwatchError

UNDER_ANOTHER_KEY = "its secret was kept under another key of the centre: delete the receiver, and add it anew"
_PLACE: TypeAdapter[int] = TypeAdapter(Annotated[int, Field(ge=0, lt=2**63)])

Id = Annotated[int, Path(ge=1, le=2**31 - 1, description="The `id` of a receiver.")]

router = resource("notification")
webhooks = APIRouter(tags=["notification"])


@webhooks.post(
    "change",
    summary="What receivers of kind cloudevents are posted",
    status_code=204,
    responses={
        "4XX": {"description": "It is given up; after 408, 425 and 429 it is tried again."},
        "5XX": {"description": "It is tried again."},
    },
)
def told(event: ChangeEvent) -> None:
    """What became of an alarm or work order, at least once, signed as Standard Webhooks says; any 2xx says: taken.

    `webhook-signature` is `v1,` and the HMAC-SHA256, in base64, of `webhook-id`, `webhook-timestamp` and the body,
    joined by dots, under the receiver's secret. While that is being changed there are two, with a space between.
    """


@router.get("/receivers", summary="List who is told of alarms", responses=problems(422))
def read_receivers(caller: AdminDep, session: SessionDep, _: Annotated[FieldsQuery[Receiver], Query()]) -> ReceiverList:
    """Receivers of the sites where one is an admin, by name; those of all sites take an admin of all."""
    rows = receivers.list_receivers(session, caller.sites(Role.ADMIN))
    return ReceiverList(items=[Receiver.of(row) for row in rows])


@router.post(
    "/receivers",
    summary="Have somebody told of alarms",
    status_code=201,
    responses={201: {"headers": ETAG}, **problems(409, 422)},
)
async def add(
    wanted: NewReceiver, caller: AdminDep, centre: CentreDep, now: NowDep, response: Response
) -> MadeReceiver:
    """Tell a receiver what comes from now on. One for all sites takes an admin of all sites."""
    site = wanted.site or EVERYWHERE
    if not caller.may(Role.ADMIN, site):
        raise not_at(site, Role.ADMIN)
    try:
        drawn = await centre.courier.address(wanted.name, wanted.kind, wanted.url)
    except AddressError as error:
        raise invalid("body.url", str(error)) from error
    new = receivers.NewReceiver(wanted.name, wanted.site or "", drawn.address, wanted.wishes, wanted.enabled)
    try:
        receiver_id = await run_in_threadpool(receivers.add_receiver, centre.store, new, now, by=caller)
    except SpoolwatchError as error:
        raise edit_problem(error) from error
    row = await run_in_threadpool(_find, centre, caller, receiver_id)
    response.headers["Location"] = f"/api/v1/receivers/{receiver_id}"
    response.headers["Cache-Control"] = "no-store"
    tag(response, row)
    return MadeReceiver.of_made(row, drawn.secret)


@router.get(
    "/receivers/{id:int}", summary="Look at one receiver", responses={200: {"headers": ETAG}, **problems(404, 422)}
)
def read_receiver(
    id: Id,
    caller: AdminDep,
    session: SessionDep,
    response: Response,
    _: Annotated[FieldsQuery[Receiver], Query()],
) -> Receiver:
    """One receiver, with the `ETag` to edit it by."""
    row = _read(session, caller, id)
    tag(response, row)
    return Receiver.of(row)


@router.put(
    "/receivers/{id:int}", summary="Edit a receiver", responses={200: {"headers": ETAG}, **problems(404, 409, 412, 422)}
)
async def edit(
    id: Id,
    wanted: ReceiverContent,
    caller: AdminDep,
    centre: CentreDep,
    now: NowDep,
    response: Response,
    if_match: IfMatch = None,
) -> Receiver:
    """Change where it is reached, what it is told and when; name, site, kind and secret stay. It is tried at once."""
    row = await run_in_threadpool(_find, centre, caller, id)
    address = None
    if wanted.url is not None:
        old = receivers.Address(row.kind, row.via, row.sealed)
        try:
            address = (await centre.courier.address(row.name, row.kind, wanted.url, old)).address
        except AddressError as error:
            raise invalid("body.url", str(error)) from error
        except SealError as error:
            raise HTTPException(409, UNDER_ANOTHER_KEY) from error
    change = receivers.ReceiverChange(wanted.wishes, wanted.enabled, address)
    try:
        await run_in_threadpool(
            receivers.change_receiver, centre.store, id, change, now, seen_versions(if_match), by=caller
        )
    except SpoolwatchError as error:
        raise edit_problem(error) from error
    row = await run_in_threadpool(_find, centre, caller, id)
    tag(response, row)
    return Receiver.of(row)


@router.delete("/receivers/{id:int}", summary="Delete a receiver", status_code=204, responses=problems(404, 412, 422))
def delete(id: Id, caller: AdminDep, centre: CentreDep, now: NowDep, if_match: IfMatch = None) -> None:
    """Tell it nothing any more, not even what waits; what it was told is forgotten."""
    try:
        receivers.delete_receiver(centre.store, id, now, seen_versions(if_match), by=caller)
    except SpoolwatchError as error:
        raise edit_problem(error) from error


@router.post(
    "/receivers/{id:int}/secret",
    summary="Draw a new secret for a receiver",
    responses={200: {"headers": ETAG}, **problems(404, 409, 412, 422)},
)
def rotate(
    id: Id,
    wanted: Rotation,
    caller: AdminDep,
    centre: CentreDep,
    now: NowDep,
    response: Response,
    if_match: IfMatch = None,
) -> MadeReceiver:
    """Sign by a new secret from now on, and by the present one too until the overlap is over; enter it there by then.

    Whatever secret was good before the present one is good no longer.
    """
    drawn: list[str | None] = []

    def reseal(row: Row) -> str:
        made = centre.courier.with_new_secret(row, timedelta(seconds=wanted.overlap_s))
        drawn.append(made.secret)
        return made.address.sealed

    try:
        receivers.reseal_receiver(centre.store, id, reseal, now, seen_versions(if_match), by=caller)
    except SealError as error:
        raise HTTPException(409, UNDER_ANOTHER_KEY) from error
    except SpoolwatchError as error:
        raise edit_problem(error) from error
    row = _find(centre, caller, id)
    response.headers["Cache-Control"] = "no-store"
    tag(response, row)
    return MadeReceiver.of_made(row, drawn[-1])


@router.post("/receivers/{id:int}/test", summary="Send a receiver a test", responses=problems(404, 422))
async def test(id: Id, caller: AdminDep, centre: CentreDep) -> Tested:
    """Send a message that says that it is a test, at once, and tell what came of it."""
    row = await run_in_threadpool(_find, centre, caller, id)
    outcome = await centre.courier.test(row)
    return Tested(sent=outcome.state == "sent", detail=outcome.words)


@router.get("/notifications", summary="List what receivers are told", responses=problems(422))
def read_notifications(
    caller: AdminDep,
    session: SessionDep,
    query: Annotated[NotificationQuery, Query()],
    request: Request,
    response: Response,
) -> Page[Notification]:
    """What waits, was sent in the last week, or was given up in the last month (`state=dead`), the latest first."""
    sites, after = caller.sites(Role.ADMIN), place_of(query.cursor, _PLACE)
    rows = list_notifications(session, sites, query.state, query.receiver, after, query.limit + 1)
    kept, last = take(rows, query.limit)
    cursor = None if last is None else cursor_of(last.notification.id)
    link_next(request, response, cursor)
    return Page(items=[Notification.of(row) for row in kept], next=cursor)


@router.post("/notifications/resends", summary="Send again what was given up", responses=problems(422))
def resend(wanted: SendAgain, caller: AdminDep, centre: CentreDep, now: NowDep) -> SentAgain:
    """Try notifications in state `dead` anew, for another day."""
    return SentAgain(ids=send_again(centre.store, wanted.ids, now, by=caller))


def _find(centre: Centre, caller: Caller, receiver_id: int) -> Row:
    with centre.store.session() as session:
        return _read(session, caller, receiver_id)


def _read(session: Session, caller: Caller, receiver_id: int) -> Row:
    try:
        return receivers.find_receiver(session, caller.sites(Role.ADMIN), receiver_id)
    except SpoolwatchError as error:
        raise edit_problem(error) from error
