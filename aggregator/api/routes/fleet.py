"""The fleet as a whole."""

from fastapi import APIRouter

from aggregator.api.deps import NowDep, SessionDep, VisibleSites
from aggregator.api.problems import problems
from aggregator.api.schemas.engines import Engine
from aggregator.api.schemas.fleet import Fleet
from aggregator.fleet.summary import summarise
from aggregator.store.reads.fleet import list_engines

router = APIRouter(prefix="/fleet", tags=["fleet"])


@router.get("", summary="The fleet in a few numbers, and its engines", responses=problems())
def read_fleet(session: SessionDep, sites: VisibleSites, now: NowDep) -> Fleet:
    """Counts per health band, links beside them, and the mean and median of the predicted medians.

    It is of the sites that whoever asks may see.
    """
    rows = [row for row in list_engines(session, sites) if row.status != "retired"]
    summary = summarise((row.band, row.liveness(now).state, row.rul) for row in rows)
    return Fleet.of(summary, [Engine.of(row, now) for row in rows])
