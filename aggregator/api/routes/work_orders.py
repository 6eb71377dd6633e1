"""Work orders: list and open them, and do the work."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field, TypeAdapter

from aggregator.access.roles import Caller, Role, Sites
from aggregator.api.csv_files import CSV, Line, columns_of, harmless, respond, values_of
from aggregator.api.deps import Centre, CentreDep, EngineerDep, NowDep, SessionDep, TechnicianDep, VisibleSites
from aggregator.api.etags import ETAG, IfMatch, seen_versions, tag
from aggregator.api.paging import Page, cursor_of, link_next, place_of, take
from aggregator.api.problems import edit_problem, problems
from aggregator.api.resources import resource
from aggregator.api.schemas.work_orders import (
    Cancellation,
    Comment,
    Conclusion,
    Correction,
    Linking,
    NewWorkOrder,
    WorkOrder,
    WorkOrderDetails,
    WorkOrderEdit,
    WorkOrderFileQuery,
    WorkOrderFilterQuery,
    WorkOrderLine,
    WorkOrderQuery,
)
from aggregator.api.selection import FieldsQuery
from aggregator.store import work_orders
from aggregator.store.reads import Session
from aggregator.store.reads.work_orders import (
    WorkOrderFilter,
    find_work_order,
    list_alarm_ids,
    list_work_order_changes,
    list_work_orders,
)
from aggregator.store.work_orders import Working
from shared.errors import SpoolwatchError

CHANGES_MAX = 1000
PORTION = 1000
_PLACE: TypeAdapter[int] = TypeAdapter(Annotated[int, Field(ge=0, lt=2**63)])

Id = Annotated[int, Path(ge=1, lt=2**63, description="The `id` of a work order.")]

router = resource("work orders")


@router.get("/work-orders", summary="List work orders", responses=problems(422))
def read_work_orders(
    sites: VisibleSites,
    session: SessionDep,
    query: Annotated[WorkOrderQuery, Query()],
    request: Request,
    response: Response,
) -> Page[WorkOrder]:
    """Work on the engines that one may see, the latest first; `state=unfinished` leaves out what is over."""
    rows = list_work_orders(session, sites, _wanted(query), place_of(query.cursor, _PLACE), query.limit + 1)
    kept, last = take(rows, query.limit)
    cursor = None if last is None else cursor_of(last.order.id)
    link_next(request, response, cursor)
    return Page(items=[WorkOrder.of(row) for row in kept], next=cursor)


@router.get(
    "/work-orders.csv", summary="Work orders as CSV", response_class=StreamingResponse, responses=CSV | problems(422)
)
def read_work_order_file(
    centre: CentreDep, sites: VisibleSites, query: Annotated[WorkOrderFileQuery, Query()]
) -> StreamingResponse:
    """One line per work order, the latest first: for a CMMS, or a spreadsheet."""
    columns = columns_of(WorkOrderLine._fields, query.fields)
    wanted = _wanted(query)

    def lines() -> Iterator[list[Line]]:
        yield [columns]
        after: int | None = None
        while True:
            with centre.store.session() as session:  # each its own: a slow reader holds no transaction open
                shown = [WorkOrder.of(row) for row in list_work_orders(session, sites, wanted, after, PORTION)]
            if shown:
                yield [[harmless(v) if isinstance(v, str) else v for v in values_of(one, columns)] for one in shown]
                after = shown[-1].id
            if len(shown) < PORTION:
                return

    return respond(lines(), "work-orders.csv")


@router.post(
    "/work-orders",
    summary="Open a work order",
    status_code=201,
    responses={201: {"headers": ETAG}, **problems(404, 409, 422)},
)
def open_one(
    wanted: NewWorkOrder, caller: TechnicianDep, centre: CentreDep, now: NowDep, response: Response
) -> WorkOrderDetails:
    """Open one from alarms of an engine, or by hand.

    The alarms are acknowledged by this, and say which work order sees to them; it is no other one's (409).
    """
    said: Any = wanted.said()
    new = work_orders.NewWorkOrder(wanted.engine, tuple(wanted.alarms), said)
    try:
        order_id = work_orders.open_work_order(centre.store, new, now, by=caller)
    except SpoolwatchError as error:
        raise edit_problem(error) from error
    response.headers["Location"] = f"/api/v1/work-orders/{order_id}"
    with centre.store.session() as session:
        return _show(session, caller.sites(Role.VIEWER), order_id, response)


@router.get(
    "/work-orders/{id:int}", summary="Look at one work order", responses={200: {"headers": ETAG}, **problems(404, 422)}
)
def read_work_order(
    id: Id,
    sites: VisibleSites,
    session: SessionDep,
    response: Response,
    _: Annotated[FieldsQuery[WorkOrderDetails], Query()],
) -> WorkOrderDetails:
    """A work order with its alarms and what became of it, and the `ETag` to act on it by."""
    return _show(session, sites, id, response)


@dataclass(frozen=True, slots=True)
class _Desk:
    """Where somebody acts on work orders one by one, and is shown what has come of it."""

    centre: Centre
    caller: Caller
    working: Working
    response: Response

    def do(self, order_id: int, act: Callable[[Working], None]) -> WorkOrderDetails:
        try:
            act(self.working)
        except SpoolwatchError as error:
            raise edit_problem(error) from error
        with self.centre.store.session() as session:
            return _show(session, self.caller.sites(Role.VIEWER), order_id, self.response)


async def _desk(
    caller: TechnicianDep, centre: CentreDep, now: NowDep, response: Response, if_match: IfMatch = None
) -> _Desk:
    return _Desk(centre, caller, Working(centre.store, now, seen_versions(if_match), by=caller), response)


async def _engineers_desk(
    caller: EngineerDep, centre: CentreDep, now: NowDep, response: Response, if_match: IfMatch = None
) -> _Desk:
    return await _desk(caller, centre, now, response, if_match)


_DeskDep = Annotated[_Desk, Depends(_desk)]
_EngineersDeskDep = Annotated[_Desk, Depends(_engineers_desk)]
_ACTED = {200: {"headers": ETAG}, **problems(404, 409, 412, 422)}


@router.patch("/work-orders/{id:int}", summary="Plan or edit a work order", responses=_ACTED)
def edit(id: Id, wanted: WorkOrderEdit, desk: _DeskDep) -> WorkOrderDetails:
    """Say when it is to be done, by whom, and how long parts take."""
    said: Any = wanted.said()
    return desk.do(id, lambda working: working.edit(id, said))


@router.post("/work-orders/{id:int}/alarms", summary="Have a work order see to more alarms", responses=_ACTED)
def link(id: Id, wanted: Linking, desk: _DeskDep) -> WorkOrderDetails:
    """Alarms of the same engine; they are acknowledged by this."""
    return desk.do(id, lambda working: working.link(id, wanted.ids))


@router.post("/work-orders/{id:int}/start", summary="Start a work order", responses=_ACTED)
def start(id: Id, desk: _DeskDep) -> WorkOrderDetails:
    """Say that the work has begun."""
    return desk.do(id, lambda working: working.start(id))


@router.post("/work-orders/{id:int}/comments", summary="Comment on a work order", responses=_ACTED)
def comment(id: Id, wanted: Comment, desk: _DeskDep) -> WorkOrderDetails:
    """Add a comment to its history, also to that of one that is over."""
    return desk.do(id, lambda working: working.comment(id, wanted.text))


@router.post("/work-orders/{id:int}/outcome", summary="Finish a work order", responses=_ACTED)
def finish(id: Id, wanted: Conclusion, desk: _DeskDep, now: NowDep) -> WorkOrderDetails:
    """Say that the work is done, and what it has shown; its alarms are resolved.

    What the outcome says of the engine is entered with it: `replaced` ends its installation, `overhauled` is an
    overhaul, and of an engine that `failed`, `remedy` says which of the two. Predictions over the life that has ended
    are scored by it: `GET /models/outcomes`.
    """
    done = desk.do(id, lambda working: working.finish(id, wanted.concluded(now), wanted.note))
    desk.centre.fleet_changed()
    return done


@router.put("/work-orders/{id:int}/outcome", summary="Correct the outcome of a work order", responses=_ACTED)
def correct(id: Id, wanted: Correction, desk: _EngineersDeskDep, now: NowDep) -> WorkOrderDetails:
    """Say that it was another one. What the one before has set is taken back, or refused where it cannot be (409).

    It cannot where another engine hangs in its place by now, or it was overhauled since.
    """
    done = desk.do(id, lambda working: working.correct(id, wanted.concluded(now), wanted.note))
    desk.centre.fleet_changed()
    return done


@router.post("/work-orders/{id:int}/cancellation", summary="Cancel a work order", responses=_ACTED)
def cancel(id: Id, wanted: Cancellation, desk: _EngineersDeskDep) -> WorkOrderDetails:
    """Say that it will not be done. Its alarms are nobody's again."""
    return desk.do(id, lambda working: working.cancel(id, wanted.reason))


def _wanted(query: WorkOrderFilterQuery) -> WorkOrderFilter:
    return WorkOrderFilter(**query.model_dump(include={*WorkOrderFilterQuery.model_fields}))


def _show(session: Session, sites: Sites, order_id: int, response: Response) -> WorkOrderDetails:
    row = find_work_order(session, sites, order_id)
    if row is None:
        raise HTTPException(404, f"There is no work order {order_id}.")
    tag(response, row.order)
    changes = list(list_work_order_changes(session, order_id, CHANGES_MAX))
    return WorkOrderDetails.of_details(row, list_alarm_ids(session, order_id), changes)
