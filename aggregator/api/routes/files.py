"""The history of one engine as CSV: for a planner's spreadsheet."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Annotated, Any, TypeVar

from fastapi import Query
from fastapi.responses import StreamingResponse

from aggregator.access.roles import Sites
from aggregator.api.csv_files import CSV, Line, columns_of, harmless, respond, values_of
from aggregator.api.deps import Centre, CentreDep, Serial, VisibleSites
from aggregator.api.problems import no_such_engine, problems
from aggregator.api.resources import resource
from aggregator.api.schemas.spans import PredictionLine, SpanQuery, TelemetryFileQuery, TelemetryLine
from aggregator.store.reads import Session
from aggregator.store.reads.engine import find_engine_id
from aggregator.store.reads.history import Span, latest_telemetry_id, list_channels, list_predictions, list_telemetry
from aggregator.store.tables import Model, Prediction, Telemetry

PORTION = 1000

Read = TypeVar("Read")

router = resource("history", "/engines/{serial}")


@router.get(
    "/telemetry.csv",
    summary="An engine's rows as CSV",
    response_class=StreamingResponse,
    responses=CSV | problems(404, 422),
)
def read_telemetry_file(
    serial: Serial, centre: CentreDep, sites: VisibleSites, query: Annotated[TelemetryFileQuery, Query()]
) -> StreamingResponse:
    """One line per cycle row, by cycle; a channel without a value is empty.

    Rows that are stored while the file is read are not in it.
    """

    def read(session: Session, engine_id: int, span: Span) -> list[tuple[tuple[int, int], Telemetry]]:
        return [((row.cycle, row.id or 0), row) for row in list_telemetry(session, engine_id, span)]

    engine_id = _engine_id(centre, sites, serial)
    with centre.store.session() as session:
        # The columns stand in the first line: a row that comes later might have a channel that is none of them.
        until_id = latest_telemetry_id(session)
        span = replace(_span(query), until_id=until_id)
        channels = query.channel or list_channels(session, engine_id, span)
    columns = columns_of(TelemetryLine._fields, query.fields)
    if "channels" in columns:
        columns.remove("channels")
    else:
        channels = []

    def lines() -> Iterator[list[Line]]:
        yield [(*columns, *map(harmless, channels))]
        for portion in _portions(centre, engine_id, span, read):
            yield [(*values_of(row, columns), *(row.channels.get(channel) for channel in channels)) for row in portion]

    return respond(lines(), f"{serial}-telemetry.csv")


@router.get(
    "/predictions.csv",
    summary="An engine's predictions as CSV",
    response_class=StreamingResponse,
    responses=CSV | problems(404, 422),
)
def read_prediction_file(
    serial: Serial, centre: CentreDep, sites: VisibleSites, query: Annotated[SpanQuery[PredictionLine], Query()]
) -> StreamingResponse:
    """One line per prediction, by cycle; RUL in cycles, unclipped, with the cap beside it."""

    def read(session: Session, engine_id: int, span: Span) -> list[tuple[tuple[int, int], tuple[Prediction, Model]]]:
        return [((row[0].cycle, row[0].id or 0), row) for row in list_predictions(session, engine_id, span)]

    portions = _portions(centre, _engine_id(centre, sites, serial), _span(query), read)
    columns = columns_of(PredictionLine._fields, query.fields)

    def lines() -> Iterator[list[Line]]:
        yield [columns]
        for portion in portions:
            yield [values_of(_prediction_line(*row), columns) for row in portion]

    return respond(lines(), f"{serial}-predictions.csv")


def _prediction_line(one: Prediction, model: Model) -> PredictionLine:
    return PredictionLine(
        *(one.cycle, one.installation_id, one.observed_at, one.predicted_at, one.received_at),
        *(one.rul_mean_cycles, one.rul_q05_cycles, one.rul_q50_cycles, one.rul_q95_cycles, one.cap_cycles),
        *map(harmless, (model.name, model.version, model.sha256, one.runtime, one.origin)),
    )


def _span(query: SpanQuery[Any]) -> Span:
    return Span(query.from_cycle, query.to_cycle, query.installation_id, since=query.since, until=query.until)


def _engine_id(centre: Centre, sites: Sites, serial: str) -> int:
    with centre.store.session() as session:
        engine_id = find_engine_id(session, sites, serial)
    if engine_id is None:
        raise no_such_engine(serial)
    return engine_id


def _portions(
    centre: Centre,
    engine_id: int,
    span: Span,
    read: Callable[[Session, int, Span], list[tuple[tuple[int, int], Read]]],
) -> Iterator[list[Read]]:
    """The history a portion at a time, each in a session of its own: a slow reader holds no transaction open."""
    span = replace(span, limit=PORTION)
    while True:
        with centre.store.session() as session:
            found = read(session, engine_id, span)
        if found:
            yield [row for _, row in found]
            span = replace(span, after=found[-1][0])
        if len(found) < PORTION:
            return
