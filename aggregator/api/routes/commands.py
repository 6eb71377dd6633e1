"""Commands to a gateway: send one, and see what became of those that were sent."""

import asyncio
from datetime import datetime
from typing import Annotated

from fastapi import Path, Query, Request, Response
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException

from aggregator.access.roles import Caller, Role, Sites
from aggregator.api.deps import Centre, CentreDep, EngineerDep, NowDep, SessionDep, VisibleSites
from aggregator.api.paging import Page, PageQuery, cursor_of, link_next, place_of, take
from aggregator.api.problems import invalid, problems
from aggregator.api.resources import resource
from aggregator.api.schemas import commands as schemas
from aggregator.api.schemas.commands import Command, CommandQuery, NewCommand
from aggregator.api.schemas.names import AwareUtc, Name
from aggregator.api.selection import FieldsQuery
from aggregator.gateways import UnreachableError
from aggregator.store.commands import find_command, list_commands
from aggregator.store.reads import Session
from aggregator.store.reads.gateways import find_gateway_at
from aggregator.store.samples import find_fetched
from aggregator.store.tables import Gateway
from shared.messages import FetchSamples, RestartSource, SendAgain

_PLACE: TypeAdapter[tuple[AwareUtc, str]] = TypeAdapter(tuple[AwareUtc, str])

GatewayName = Annotated[Name, Path(description="The name of a registered gateway.")]
CommandId = Annotated[str, Path(pattern=r"^[0-9a-f-]{36}$", description="The id of a command.")]

router = resource("gateways", "/gateways/{name}/commands")


@router.post(
    "",
    summary="Send a command to a gateway",
    status_code=202,
    responses={
        200: {"model": Command, "description": "The gateway has answered."},
        202: {"headers": {"Location": {"schema": {"type": "string"}}}},
        **problems(404, 409, 422),
    },
)
async def send(
    name: GatewayName,
    wanted: NewCommand,
    caller: EngineerDep,
    centre: CentreDep,
    response: Response,
    query: Annotated[CommandQuery, Query()],
) -> Command:
    """Have a gateway do something. The command is signed and not kept for a gateway that is offline (409)."""
    gateway, command_id = await asyncio.to_thread(_send, centre, caller, name, wanted)
    answered = None if query.wait_s == 0 else await centre.gateways.wait(command_id, query.wait_s)
    response.status_code = 202 if answered is None else 200
    response.headers["Location"] = f"/api/v1/gateways/{name}/commands/{command_id}"
    return await asyncio.to_thread(_show, centre, command_id, gateway.name)


@router.get("", summary="List the commands to a gateway", responses=problems(404, 422))
def read_commands(
    name: GatewayName,
    sites: VisibleSites,
    session: SessionDep,
    now: NowDep,
    query: Annotated[PageQuery[Command], Query()],
    request: Request,
    response: Response,
) -> Page[Command]:
    """What people asked of a gateway, predictions included, newest first."""
    gateway, _ = gateway_at(session, sites, name)
    kept, last = take(list_commands(session, gateway, place_of(query.cursor, _PLACE), query.limit + 1), query.limit)
    cursor = None if last is None else cursor_of((last.issued_at, last.id))
    link_next(request, response, cursor)
    fetched = find_fetched(session, [command.id for command in kept])
    return Page(items=[Command.of(command, name, now, fetched.get(command.id)) for command in kept], next=cursor)


@router.get("/{id}", summary="What became of a command", responses=problems(404, 422))
def read_command(
    name: GatewayName,
    id: CommandId,
    sites: VisibleSites,
    session: SessionDep,
    now: NowDep,
    _: Annotated[FieldsQuery[Command], Query()],
) -> Command:
    """One command, and what the gateway says that it did."""
    gateway_at(session, sites, name)
    command = find_command(session, sites, id, name)
    if command is None:
        raise HTTPException(404, f"Gateway {name} was sent no command {id}.")
    return Command.of(command, name, now, find_fetched(session, [id]).get(id))


def _send(centre: Centre, caller: Caller, name: str, wanted: NewCommand) -> tuple[Gateway, str]:
    with centre.store.session() as session:
        gateway, last_record_at = gateway_at(session, caller.sites(Role.ENGINEER), name)
    reason = centre.gateways.why_unreachable(gateway, last_record_at)
    if reason is not None:
        raise HTTPException(409, f"The command was not sent: {reason}.")
    try:
        return gateway, centre.gateways.send(gateway, _order(gateway, wanted), by=caller)
    except UnreachableError as error:
        raise HTTPException(409, f"The command was not sent: {error}.") from error


def _order(gateway: Gateway, wanted: NewCommand) -> SendAgain | RestartSource | FetchSamples:
    if isinstance(wanted, schemas.RestartSource):
        return RestartSource()
    if isinstance(wanted, schemas.FetchSamples):
        if wanted.since > wanted.until:
            raise invalid("body.fetch_samples.since", "is after until")
        return FetchSamples(engine=wanted.engine, since=wanted.since, until=wanted.until, limit=wanted.limit)
    if any(first > last for first, last in wanted.ranges):
        raise invalid("body.resend.ranges", "a range begins behind its end")
    return SendAgain(stream_id=wanted.stream_id or gateway.stream_id or "", ranges=wanted.ranges)


def gateway_at(session: Session, sites: Sites, name: str) -> tuple[Gateway, datetime | None]:
    """A gateway of these sites, and when the centre received its latest record.

    Raises:
        HTTPException: 404, there is none.
    """
    found = find_gateway_at(session, sites, name)
    if found is None:
        raise HTTPException(404, f"Gateway {name} is not registered; register it with POST /api/v1/gateways.")
    return found


def _show(centre: Centre, command_id: str, gateway: str) -> Command:
    with centre.store.session() as session:
        command = find_command(session, None, command_id)
        fetched = find_fetched(session, [command_id]).get(command_id)
    if command is None:
        raise RuntimeError(f"the command {command_id} was written and is not there")
    return Command.of(command, gateway, centre.now(), fetched)
