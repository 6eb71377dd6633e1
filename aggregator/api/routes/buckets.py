"""The history of one engine as few points, summed up by the store: for charts over a whole life."""

from typing import Annotated, Any

import msgspec
from fastapi import Query, Response

from aggregator.access.roles import Sites
from aggregator.api.deps import Serial, SessionDep, VisibleSites
from aggregator.api.problems import no_such_engine, problems
from aggregator.api.resources import resource
from aggregator.api.schemas.history import PredictionBucket, TelemetryBucket
from aggregator.api.schemas.spans import BucketQuery, TelemetryBucketQuery
from aggregator.api.selection import Item
from aggregator.store.reads import Session
from aggregator.store.reads.buckets import Bucket, BucketSpan, sum_up_predictions, sum_up_telemetry
from aggregator.store.reads.engine import find_current, find_history

router = resource("history", "/engines/{serial}")


# Hundreds of points are written as they come from the store: to make models of them would take as long as to read them.


@router.get(
    "/telemetry/buckets",
    summary="An engine's rows as few points",
    response_model=list[TelemetryBucket],
    responses=problems(404, 422),
)
def read_telemetry_buckets(
    serial: Serial, sites: VisibleSites, session: SessionDep, query: Annotated[TelemetryBucketQuery, Query()]
) -> Response:
    """Minimum, maximum and mean of each channel over buckets of cycles of one installation."""
    span = _span(session, sites, serial, query)
    channels = query.channel or list(_latest_channels(session, span))
    found = sum_up_telemetry(session, span, channels) if span is not None and channels else []
    return _answer([_shown(one) | {"channels": one.extents} for one in found])


@router.get(
    "/predictions/buckets",
    summary="An engine's predictions as few points",
    response_model=list[PredictionBucket],
    responses=problems(404, 422),
)
def read_prediction_buckets(
    serial: Serial, sites: VisibleSites, session: SessionDep, query: Annotated[BucketQuery[PredictionBucket], Query()]
) -> Response:
    """Minimum, maximum and mean of the predicted mean and quantiles over buckets of cycles of one installation."""
    span = _span(session, sites, serial, query)
    found = [] if span is None else sum_up_predictions(session, span)
    return _answer([_shown(one) | one.extents for one in found])


def _span(session: Session, sites: Sites, serial: str, query: BucketQuery[Item]) -> BucketSpan | None:
    """What is wanted, or None of an engine that has recorded nothing yet."""
    history = find_history(session, sites, serial)
    if history is None:
        raise no_such_engine(serial)
    installation_id = query.installation_id or history.installation_id
    if installation_id is None:
        return None
    return BucketSpan(
        *(history.engine_id, installation_id, query.from_cycle, query.to_cycle, query.buckets),
        *(query.since, query.until),
    )


def _latest_channels(session: Session, span: BucketSpan | None) -> list[str]:
    current = None if span is None else find_current(session, span.engine_id)
    return [] if current is None or current.channels is None else list(current.channels)


def _shown(one: Bucket) -> dict[str, Any]:
    return {"first_cycle": one.first_cycle, "last_cycle": one.last_cycle, "rows": one.rows}


def _answer(points: list[dict[str, Any]]) -> Response:
    return Response(msgspec.json.encode(points), media_type="application/json")
