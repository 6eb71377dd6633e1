"""The fleet as a whole."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time, timedelta
from typing import Annotated

from fastapi import HTTPException, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter

from aggregator.access.roles import Sites
from aggregator.api.csv_files import CSV, columns_of, respond, values_of
from aggregator.api.deps import Centre, CentreDep, NowDep, VisibleSites, reading
from aggregator.api.paging import cursor_of, place_of, take, written_page
from aggregator.api.plans import plan_fleet
from aggregator.api.problems import problems
from aggregator.api.resources import resource
from aggregator.api.schemas.due import DuePage, DueQuery, due_shown
from aggregator.api.schemas.fleet import Fleet, FleetQuery
from aggregator.api.schemas.names import AwareUtc, Name
from aggregator.api.schemas.plan import FleetPlan, PlannedRemoval, PlanQuery
from aggregator.fleet.bands import band_of
from aggregator.fleet.due import Judgement, Verdict
from aggregator.fleet.liveness import state_of
from aggregator.fleet.lives import NEVER, Lives
from aggregator.fleet.slots import SlotsError
from aggregator.fleet.summary import summarise
from aggregator.store.reads.fleet import EngineFilter, EngineRow, list_engines
from aggregator.store.reads.vitals import list_vitals, read_lives

_reading = asynccontextmanager(reading)
_PLACE: TypeAdapter[tuple[datetime, str]] = TypeAdapter(tuple[AwareUtc, Name])

router = resource("fleet", "/fleet")


@router.get("", summary="The fleet in a few numbers", response_model=Fleet, responses=problems(422))
async def read_fleet(sites: VisibleSites, centre: CentreDep, query: Annotated[FleetQuery, Query()]) -> Response:
    """Counts per health band, links beside them, and the mean and percentiles of the predicted medians.

    It is of the sites that whoever asks may see, and at most a second old. Retired engines are left out; the engines
    themselves are at `/engines`, ranked by `sort=risk`.
    """
    wanted = EngineFilter(site=query.site, type=query.type, in_fleet=True)
    body = await centre.summaries.answer((sites, wanted), lambda: _summarise(centre, sites, wanted))
    return Response(body, media_type="application/json")


def _summarise(centre: Centre, sites: Sites, wanted: EngineFilter) -> bytes:
    with centre.store.session() as session:
        vitals = list_vitals(session, sites, wanted)
    now, thresholds = centre.now(), centre.thresholds
    summary = summarise((band_of(one.rul, thresholds), state_of(one.signs, now), one.rul) for one in vitals)
    return Fleet.of(summary, thresholds).model_dump_json().encode()


@router.get("/due", summary="Which engines need work before a date", response_model=DuePage, responses=problems(422))
async def read_due(
    sites: VisibleSites, centre: CentreDep, now: NowDep, query: Annotated[DueQuery, Query()], request: Request
) -> Response:
    """Engines whose useful life ends before a date, if they are to last with a confidence until it does.

    The date follows from the remaining cycles and the utilisation. It is counted from now where the engine is heard
    from, so that one that stands still is not due sooner; else from its latest row, as if it had flown on since.
    Retired engines are left out. Of some engines nobody can tell: they are counted, and listed by `verdict`. What is
    judged is at most ten seconds old, or as new as the last change of an engine that this aggregator was told.
    """
    place = place_of(query.cursor, _PLACE)
    before = datetime.combine(query.before, time(), UTC)
    wanted = EngineFilter(site=query.site, type=query.type, in_fleet=True)
    lives = await centre.lives.answer((sites, wanted), lambda: _read_lives(centre, sites, wanted))
    judged = lives.judge(query.confidence, before)
    kept, last = take(judged.first(Verdict(query.verdict), place, query.limit + 1), query.limit)
    rows = await _rows(centre, sites, tuple(engine_id for engine_id, _, _ in kept))
    lead_time = timedelta(days=query.lead_time_days)
    page = {
        "items": [due_shown(rows[serial], each, lead_time, now) for _, serial, each in kept if serial in rows],
        "next": None if last is None else cursor_of(_place_of(last[2], last[1])),
        "before": before,
        "confidence": query.confidence,
        "counts": judged.counts(),
    }
    return written_page(request, page)


@router.get("/plan", summary="When engines should come off", response_model=FleetPlan, responses=problems(422))
async def read_plan(sites: VisibleSites, centre: CentreDep, query: Annotated[PlanQuery, Query()]) -> Response:
    """The removals by which the least is lost in expectation, beside two policies that know no costs.

    An engine comes off as its week begins. It has failed before with the probability that its prediction and its
    utilisation say; they are interpolated between the three quantiles, and beyond them extended by exponential tails.
    Engines in operation are planned for; a work order that has a day keeps it, and takes a place in its week. Nothing
    is stored: open work orders for what is to be done. It is all one answer, without pages.
    """
    return Response((await _plan(sites, centre, query)).model_dump_json(), media_type="application/json")


@router.get(
    "/plan.csv",
    summary="When engines should come off, as CSV",
    response_class=StreamingResponse,
    responses=CSV | problems(422),
)
async def read_plan_file(
    sites: VisibleSites, centre: CentreDep, query: Annotated[PlanQuery, Query()]
) -> StreamingResponse:
    """One line per removal, by day."""
    columns = columns_of(list(PlannedRemoval.model_fields), query.fields)
    plan = await _plan(sites, centre, query)
    return respond([[columns], [values_of(one, columns) for one in plan.items]], "plan.csv")


async def _plan(sites: Sites, centre: Centre, query: PlanQuery) -> FleetPlan:
    try:
        return await plan_fleet(centre, sites, query)
    except SlotsError as error:
        raise HTTPException(503, f"There is no plan: {error}.") from error


def _read_lives(centre: Centre, sites: Sites, wanted: EngineFilter) -> Lives:
    with centre.store.session() as session:
        return read_lives(session, sites, wanted, centre.now())


async def _rows(centre: Centre, sites: Sites, engine_ids: tuple[int, ...]) -> dict[str, EngineRow]:
    """How lists show some engines, by serial; one that has left these sites meanwhile is left out."""
    if not engine_ids:
        return {}
    shown = EngineFilter(ids=engine_ids, thresholds=centre.thresholds)
    async with _reading(centre) as session:
        return {row.serial: row for row in await asyncio.to_thread(list_engines, session, sites, shown)}


def _place_of(judgement: Judgement, serial: str) -> tuple[datetime, str]:
    """What the list is ordered by: when an engine is due, where that is known, and its serial."""
    return NEVER if judgement.due is None else judgement.due.at, serial
