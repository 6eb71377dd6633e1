"""Health, for process supervisors and load balancers."""

import structlog
from fastapi import APIRouter, HTTPException

from aggregator.api.deps import OPEN_TO_ALL, CentreDep
from aggregator.api.problems import problems
from aggregator.api.schemas.health import IngestCounts, Live, Ready
from aggregator.store.reads import DatabaseError
from shared.errors import SpoolwatchError

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live", summary="Does the process answer?", dependencies=[OPEN_TO_ALL], responses=problems())
async def read_live() -> Live:
    """Answers as long as the process can; it touches nothing else."""
    return Live()


@router.get("/ready", summary="Can it do its work?", dependencies=[OPEN_TO_ALL], responses=problems(503))
def read_ready(centre: CentreDep) -> Ready:
    """Writes to the store, reads it back, and looks whether the broker is connected."""
    try:
        centre.store.probe()
    except (DatabaseError, SpoolwatchError) as error:
        log.warning("store_probe_failed", error=str(error))
        raise HTTPException(503, "The store does not take writes; the log says why.") from error
    ingest = centre.ingest
    if not ingest.connected or not ingest.accepting:
        raise HTTPException(503, ingest.problem or "The broker is not connected yet.")
    return Ready(broker_connected_since=ingest.since, ingest=IngestCounts.model_validate(ingest, from_attributes=True))
