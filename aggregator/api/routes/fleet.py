"""The fleet as a whole."""

from collections import Counter
from datetime import UTC, datetime, time, timedelta
from heapq import nsmallest
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import TypeAdapter

from aggregator.access.roles import Sites
from aggregator.api.deps import Centre, CentreDep, NowDep, SessionDep, VisibleSites
from aggregator.api.paging import cursor_of, place_of, take, written_page
from aggregator.api.problems import problems
from aggregator.api.schemas.due import DuePage, DueQuery, due_shown
from aggregator.api.schemas.fleet import Fleet, FleetQuery
from aggregator.api.schemas.names import AwareUtc, Name
from aggregator.fleet.bands import band_of
from aggregator.fleet.due import Judgement, Verdict, judge
from aggregator.fleet.liveness import liveness_of
from aggregator.fleet.summary import summarise
from aggregator.store.reads.fleet import EngineFilter, list_engines
from aggregator.store.reads.vitals import Prospect, list_prospects, list_vitals

_Judged = tuple[Prospect, Judgement]
_PLACE: TypeAdapter[tuple[datetime, str]] = TypeAdapter(tuple[AwareUtc, Name])
_NEVER = datetime.max.replace(tzinfo=UTC)

router = APIRouter(prefix="/fleet", tags=["fleet"])


@router.get("", summary="The fleet in a few numbers", response_model=Fleet, responses=problems(422))
async def read_fleet(sites: VisibleSites, centre: CentreDep, query: Annotated[FleetQuery, Query()]) -> Response:
    """Counts per health band, links beside them, and the mean and percentiles of the predicted medians.

    It is of the sites that whoever asks may see, and at most a second old. Retired engines are left out; the engines
    themselves are at `/engines`, ranked by `sort=risk`.
    """
    wanted = EngineFilter(site=query.site, type=query.type, in_fleet=True)
    body = await centre.recent.answer(("fleet", sites, wanted), lambda: _summarise(centre, sites, wanted))
    return Response(body, media_type="application/json")


def _summarise(centre: Centre, sites: Sites, wanted: EngineFilter) -> bytes:
    with centre.store.session() as session:
        vitals = list_vitals(session, sites, wanted)
    now, thresholds = centre.now(), centre.thresholds
    summary = summarise((band_of(one.rul, thresholds), liveness_of(one.signs, now).state, one.rul) for one in vitals)
    return Fleet.of(summary, thresholds).model_dump_json().encode()


@router.get("/due", summary="Which engines need work before a date", response_model=DuePage, responses=problems(422))
def read_due(
    sites: VisibleSites,
    session: SessionDep,
    centre: CentreDep,
    now: NowDep,
    query: Annotated[DueQuery, Query()],
    request: Request,
) -> Response:
    """Engines whose useful life ends before a date, if they are to last with a confidence until it does.

    The date follows from the remaining cycles and the utilisation. It is counted from now where the engine is heard
    from, so that one that stands still is not due sooner; else from its latest row, as if it had flown on since.
    Retired engines are left out. Of some engines nobody can tell: they are counted, and listed by `verdict`.
    """
    before = datetime.combine(query.before, time(), UTC)
    wanted = EngineFilter(site=query.site, type=query.type, in_fleet=True)
    prospects = list_prospects(session, sites, wanted, now)
    judged = [(one, judge(one.life, query.confidence, before)) for one in prospects]
    after = place_of(query.cursor, _PLACE)
    asked = [one for one in judged if one[1].verdict == query.verdict]
    rest = [one for one in asked if after is None or _place_of(one) > after]
    kept, last = take(nsmallest(query.limit + 1, rest, key=_place_of), query.limit)
    cursor = None if last is None else cursor_of(_place_of(last))
    shown = EngineFilter(ids=tuple(one.engine_id for one, _ in kept), thresholds=centre.thresholds)
    rows = {row.serial: row for row in list_engines(session, sites, shown)}
    counts = Counter(one.verdict for _, one in judged)
    lead_time = timedelta(days=query.lead_time_days)
    page = {
        "items": [due_shown(rows[one.serial], judgement, lead_time, now) for one, judgement in kept],
        "next": cursor,
        "before": before,
        "confidence": query.confidence,
        "counts": {verdict: counts[verdict] for verdict in Verdict},
    }
    return written_page(request, page)


def _place_of(judged: _Judged) -> tuple[datetime, str]:
    """What the list is ordered by: when an engine is due, where that is known, and its serial."""
    prospect, judgement = judged
    return _NEVER if judgement.due is None else judgement.due.at, prospect.serial
