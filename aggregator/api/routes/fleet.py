"""The fleet as a whole."""

from collections import Counter
from datetime import UTC, datetime, time, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import TypeAdapter

from aggregator.access.roles import Sites
from aggregator.api.deps import Centre, CentreDep, NowDep, SessionDep, VisibleSites
from aggregator.api.paging import cursor_of, link_next, place_of, take
from aggregator.api.problems import problems
from aggregator.api.schemas.due import DueCounts, DuePage, DueQuery, EngineDue
from aggregator.api.schemas.fleet import Fleet, FleetQuery
from aggregator.api.schemas.names import AwareUtc, Name
from aggregator.fleet.bands import band_of
from aggregator.fleet.due import Judgement, Verdict, judge
from aggregator.fleet.liveness import liveness_of
from aggregator.fleet.summary import summarise
from aggregator.store.reads.fleet import EngineFilter, EngineRow, list_engines, list_vitals

_Judged = tuple[EngineRow, Judgement]
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


@router.get("/due", summary="Which engines need work before a date", responses=problems(422))
def read_due(
    sites: VisibleSites,
    session: SessionDep,
    centre: CentreDep,
    now: NowDep,
    query: Annotated[DueQuery, Query()],
    request: Request,
    response: Response,
) -> DuePage:
    """Engines whose useful life ends before a date, if they are to last with a confidence until it does.

    The date follows from the remaining cycles and the utilisation. It is counted from now where the engine is heard
    from, so that one that stands still is not due sooner; else from its latest row, as if it had flown on since.
    Retired engines are left out. Of some engines nobody can tell: they are counted, and listed by `verdict`.
    """
    before = datetime.combine(query.before, time(), UTC)
    wanted = EngineFilter(site=query.site, type=query.type, in_fleet=True, thresholds=centre.thresholds)
    rows = list_engines(session, sites, wanted)
    judged = [(row, judge(row.life(now), query.confidence, before)) for row in rows]
    after = place_of(query.cursor, _PLACE)
    asked = sorted((one for one in judged if one[1].verdict == query.verdict), key=_place_of)
    rest = [one for one in asked if after is None or _place_of(one) > after]
    kept, last = take(rest[: query.limit + 1], query.limit)
    cursor = None if last is None else cursor_of(_place_of(last))
    link_next(request, response, cursor)
    counts = Counter(one.verdict for _, one in judged)
    lead_time = timedelta(days=query.lead_time_days)
    return DuePage(
        items=[EngineDue.of(row, one, lead_time, now) for row, one in kept],
        next=cursor,
        before=before,
        confidence=query.confidence,
        counts=DueCounts(**{verdict.value: counts[verdict] for verdict in Verdict}),
    )


def _place_of(judged: _Judged) -> tuple[datetime, str]:
    """What the list is ordered by: when an engine is due, where that is known, and its serial."""
    row, judgement = judged
    return _NEVER if judgement.due is None else judgement.due.at, row.serial
