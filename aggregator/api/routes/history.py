"""The history of one engine: predictions with their lineage, and rows."""

from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field, TypeAdapter

from aggregator.access.roles import Sites
from aggregator.api.deps import Serial, SessionDep, VisibleSites
from aggregator.api.paging import Page, cursor_of, place_of, take, written_page
from aggregator.api.problems import no_such_engine, problems
from aggregator.api.resources import resource
from aggregator.api.schemas.history import PredictionRecord, TelemetryRow, prediction_shown, row_shown
from aggregator.api.schemas.spans import HistoryQuery, PredictionQuery, TelemetryQuery
from aggregator.api.selection import Item
from aggregator.store.reads import Session
from aggregator.store.reads.engine import find_engine_id
from aggregator.store.reads.history import Span, list_predictions, list_telemetry

_Key = Annotated[int, Field(ge=0, lt=2**63)]
_PLACE: TypeAdapter[tuple[int, int]] = TypeAdapter(tuple[_Key, _Key])

router = resource("history", "/engines/{serial}")


@router.get(
    "/predictions",
    summary="An engine's predictions",
    response_model=Page[PredictionRecord],
    responses=problems(404, 422),
)
def read_predictions(
    serial: Serial,
    sites: VisibleSites,
    session: SessionDep,
    query: Annotated[PredictionQuery, Query()],
    request: Request,
) -> Response:
    """Predictions by cycle, each with its lineage."""
    rows = list_predictions(session, _engine_id(session, sites, serial), _span(query))
    kept, last = take(rows, query.limit)
    cursor = None if last is None else cursor_of((last[0].cycle, last[0].id))
    with_input = query.include == "input"
    items = [prediction_shown(*row, with_input=with_input) for row in kept]
    return written_page(request, {"items": items, "next": cursor})


@router.get("/telemetry", summary="An engine's rows", response_model=Page[TelemetryRow], responses=problems(404, 422))
def read_telemetry(
    serial: Serial,
    sites: VisibleSites,
    session: SessionDep,
    query: Annotated[TelemetryQuery, Query()],
    request: Request,
) -> Response:
    """Cycle rows by cycle, each with its quality flags."""
    rows = list_telemetry(session, _engine_id(session, sites, serial), _span(query))
    kept, last = take(rows, query.limit)
    cursor = None if last is None else cursor_of((last.cycle, last.id))
    return written_page(request, {"items": [row_shown(row, query.channel) for row in kept], "next": cursor})


def _engine_id(session: Session, sites: Sites, serial: str) -> int:
    engine_id = find_engine_id(session, sites, serial)
    if engine_id is None:
        raise no_such_engine(serial)
    return engine_id


def _span(query: HistoryQuery[Item]) -> Span:
    return Span(
        from_cycle=query.from_cycle,
        to_cycle=query.to_cycle,
        installation_id=query.installation_id,
        descending=query.order == "desc",
        after=place_of(query.cursor, _PLACE),
        limit=query.limit + 1,
        since=query.since,
        until=query.until,
    )
