"""Alarms: list them, look at one, and do something about it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Depends, HTTPException, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field, TypeAdapter

from aggregator.access.roles import Caller, Role, Sites
from aggregator.api.csv_files import CSV, Line, columns_of, harmless, respond, values_of
from aggregator.api.deps import Centre, CentreDep, NowDep, SessionDep, TechnicianDep, VisibleSites
from aggregator.api.etags import ETAG, IfMatch, seen_versions, tag
from aggregator.api.paging import Page, cursor_of, link_next, place_of, take
from aggregator.api.problems import edit_problem, invalid, problems
from aggregator.api.resources import resource
from aggregator.api.schemas.alarms import (
    SHELVED_AT_MOST_DAYS,
    Acknowledged,
    Acknowledgements,
    Alarm,
    AlarmDetails,
    AlarmFileQuery,
    AlarmFilterQuery,
    AlarmLine,
    AlarmQuery,
    Assignment,
    Comment,
    Prioritisation,
    Resolution,
    Shelving,
)
from aggregator.api.selection import FieldsQuery
from aggregator.store.alarm_actions import Acting
from aggregator.store.reads import Session
from aggregator.store.reads.alarms import AlarmFilter, find_alarm, list_alarm_changes, list_alarms, place_of_alarm
from shared.errors import SpoolwatchError

CHANGES_MAX = 1000
PORTION = 1000
_PLACE: TypeAdapter[tuple[int, int]] = TypeAdapter(tuple[int, Annotated[int, Field(ge=0, lt=2**63)]])

Id = Annotated[int, Path(ge=1, lt=2**63, description="The `id` of an alarm.")]

router = resource("alarms")


@router.get("/alarms", summary="List alarms", responses=problems(422))
def read_alarms(
    sites: VisibleSites,
    session: SessionDep,
    now: NowDep,
    query: Annotated[AlarmQuery, Query()],
    request: Request,
    response: Response,
) -> Page[Alarm]:
    """Alarms of the engines and gateways that one may see, the latest first; `state=open` leaves out what is done."""
    rows = list_alarms(session, sites, _wanted(query, now), place_of(query.cursor, _PLACE), query.limit + 1)
    kept, last = take(rows, query.limit)
    cursor = None if last is None else cursor_of(place_of_alarm(last.alarm))
    link_next(request, response, cursor)
    return Page(items=[Alarm.of(row) for row in kept], next=cursor)


@router.get("/alarms.csv", summary="Alarms as CSV", response_class=StreamingResponse, responses=CSV | problems(422))
def read_alarm_file(
    centre: CentreDep, sites: VisibleSites, now: NowDep, query: Annotated[AlarmFileQuery, Query()]
) -> StreamingResponse:
    """One line per alarm, the latest first."""
    columns = columns_of(AlarmLine._fields, query.fields)
    wanted = _wanted(query, now)

    def lines() -> Iterator[list[Line]]:
        yield [columns]
        after: tuple[int, int] | None = None
        while True:
            with centre.store.session() as session:  # each its own: a slow reader holds no transaction open
                rows = list_alarms(session, sites, wanted, after, PORTION)
                shown = [Alarm.of(row) for row in rows]
                after = place_of_alarm(rows[-1].alarm) if rows else None
            if shown:
                yield [[harmless(v) if isinstance(v, str) else v for v in values_of(one, columns)] for one in shown]
            if len(shown) < PORTION:
                return

    return respond(lines(), "alarms.csv")


@router.post("/alarms/acknowledgements", summary="Acknowledge many alarms", responses=problems(422))
def acknowledge_many(wanted: Acknowledgements, caller: TechnicianDep, centre: CentreDep, now: NowDep) -> Acknowledged:
    """Say that somebody has seen them; those that are cleared are closed by that."""
    return Acknowledged(ids=Acting(centre.store, now, by=caller).acknowledge_all(wanted.ids))


@router.get("/alarms/{id:int}", summary="Look at one alarm", responses={200: {"headers": ETAG}, **problems(404, 422)})
def read_alarm(
    id: Id,
    sites: VisibleSites,
    session: SessionDep,
    response: Response,
    _: Annotated[FieldsQuery[AlarmDetails], Query()],
) -> AlarmDetails:
    """An alarm with what became of it, and the `ETag` to act on it by."""
    return _show(session, sites, id, response)


@dataclass(frozen=True, slots=True)
class _Desk:
    """Where somebody acts on alarms one by one, and is shown what has come of it."""

    centre: Centre
    caller: Caller
    acting: Acting
    response: Response

    def do(self, alarm_id: int, act: Callable[[Acting], None]) -> AlarmDetails:
        try:
            act(self.acting)
        except SpoolwatchError as error:
            raise edit_problem(error) from error
        with self.centre.store.session() as session:
            return _show(session, self.caller.sites(Role.VIEWER), alarm_id, self.response)


async def _desk(
    caller: TechnicianDep, centre: CentreDep, now: NowDep, response: Response, if_match: IfMatch = None
) -> _Desk:
    return _Desk(centre, caller, Acting(centre.store, now, seen_versions(if_match), by=caller), response)


_DeskDep = Annotated[_Desk, Depends(_desk)]
_ACTED = {200: {"headers": ETAG}, **problems(404, 409, 412, 422)}


@router.post("/alarms/{id:int}/acknowledgement", summary="Acknowledge an alarm", responses=_ACTED)
def acknowledge(id: Id, desk: _DeskDep) -> AlarmDetails:
    """Say that somebody has seen it. One that is cleared is closed by that; to do it once more changes nothing."""
    return desk.do(id, lambda acting: acting.acknowledge(id))


@router.post("/alarms/{id:int}/shelving", summary="Shelve an alarm", responses=_ACTED)
def shelve(id: Id, wanted: Shelving, desk: _DeskDep, now: NowDep) -> AlarmDetails:
    """Put an alarm aside until a time at which it comes back by itself; it is raised and cleared meanwhile as ever."""
    if not now < wanted.until <= now + timedelta(days=SHELVED_AT_MOST_DAYS):
        raise invalid("body.until", f"must be ahead, and by {SHELVED_AT_MOST_DAYS} days at most")
    return desk.do(id, lambda acting: acting.shelve(id, wanted.until))


@router.delete("/alarms/{id:int}/shelving", summary="Take an alarm back from the shelf", responses=_ACTED)
def unshelve(id: Id, desk: _DeskDep) -> AlarmDetails:
    """End its shelving; to do it once more changes nothing."""
    return desk.do(id, lambda acting: acting.shelve(id, None))


@router.post("/alarms/{id:int}/assignment", summary="Assign an alarm", responses=_ACTED)
def assign(id: Id, wanted: Assignment, desk: _DeskDep) -> AlarmDetails:
    """Say who sees to it: a person or a team, in any words."""
    return desk.do(id, lambda acting: acting.assign(id, wanted.to))


@router.put("/alarms/{id:int}/priority", summary="Set the priority of an alarm", responses=_ACTED)
def prioritise(id: Id, wanted: Prioritisation, desk: _DeskDep) -> AlarmDetails:
    """Make an alarm more or less urgent, for a reason. Neither its rule nor its age changes its priority any more."""
    return desk.do(id, lambda acting: acting.prioritise(id, wanted.priority, wanted.reason))


@router.post("/alarms/{id:int}/comments", summary="Comment on an alarm", responses=_ACTED)
def comment(id: Id, wanted: Comment, desk: _DeskDep) -> AlarmDetails:
    """Add a comment to its history, also to that of one that is closed."""
    return desk.do(id, lambda acting: acting.comment(id, wanted.text))


@router.post("/alarms/{id:int}/resolution", summary="Resolve an alarm", responses=_ACTED)
def resolve(id: Id, wanted: Resolution, desk: _DeskDep) -> AlarmDetails:
    """Close an alarm for a reason. If that for which it was raised lasts, another one is raised; shelve it instead."""
    return desk.do(id, lambda acting: acting.resolve(id, wanted.reason))


def _wanted(query: AlarmFilterQuery, now: datetime) -> AlarmFilter:
    return AlarmFilter(
        **query.model_dump(include={"state", "priority", "kind", "site", "engine", "gateway"}),
        is_acknowledged=query.acknowledged,
        is_shelved_at=None if query.shelved is None else (query.shelved, now),
    )


def _show(session: Session, sites: Sites, alarm_id: int, response: Response) -> AlarmDetails:
    row = find_alarm(session, sites, alarm_id)
    if row is None:
        raise HTTPException(404, f"There is no alarm {alarm_id}.")
    tag(response, row.alarm)
    return AlarmDetails.of_details(row, list(list_alarm_changes(session, alarm_id, CHANGES_MAX)))
