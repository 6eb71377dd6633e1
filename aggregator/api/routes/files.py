"""The history of one engine as CSV, streamed: for a planner's spreadsheet, however long it is."""

import csv
import io
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from aggregator.access.roles import Sites
from aggregator.api.deps import Centre, CentreDep, Serial, VisibleSites
from aggregator.api.problems import no_such_engine, problems
from aggregator.api.schemas.spans import PredictionLine, SpanQuery, TelemetryFileQuery, TelemetryLine
from aggregator.store.reads import Session
from aggregator.store.reads.engine import find_engine_id
from aggregator.store.reads.history import Span, latest_telemetry_id, list_channels, list_predictions, list_telemetry
from aggregator.store.tables import Model, Prediction, Telemetry

PORTION = 1000

Read = TypeVar("Read")
Line = Sequence[Any]
_CSV: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "Times are RFC 3339 in UTC."}
}

router = APIRouter(prefix="/engines/{serial}", tags=["history"])


@router.get(
    "/telemetry.csv",
    summary="An engine's rows as CSV",
    response_class=StreamingResponse,
    responses=_CSV | problems(404, 422),
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
        span = Span(query.from_cycle, query.to_cycle, query.installation_id, until_id=until_id)
        channels = query.channel or list_channels(session, engine_id, span)
    columns = _columns(TelemetryLine._fields, query.fields)
    if "channels" in columns:
        columns.remove("channels")
    else:
        channels = []

    def lines() -> Iterator[list[Line]]:
        yield [(*columns, *map(_harmless, channels))]
        for portion in _portions(centre, engine_id, span, read):
            yield [(*_values(row, columns), *(row.channels.get(channel) for channel in channels)) for row in portion]

    return _respond(lines(), f"{serial}-telemetry.csv")


@router.get(
    "/predictions.csv",
    summary="An engine's predictions as CSV",
    response_class=StreamingResponse,
    responses=_CSV | problems(404, 422),
)
def read_prediction_file(
    serial: Serial, centre: CentreDep, sites: VisibleSites, query: Annotated[SpanQuery[PredictionLine], Query()]
) -> StreamingResponse:
    """One line per prediction, by cycle; RUL in cycles, unclipped, with the cap beside it."""

    def read(session: Session, engine_id: int, span: Span) -> list[tuple[tuple[int, int], tuple[Prediction, Model]]]:
        return [((row[0].cycle, row[0].id or 0), row) for row in list_predictions(session, engine_id, span)]

    span = Span(query.from_cycle, query.to_cycle, query.installation_id)
    portions = _portions(centre, _engine_id(centre, sites, serial), span, read)

    columns = _columns(PredictionLine._fields, query.fields)

    def lines() -> Iterator[list[Line]]:
        yield [columns]
        for portion in portions:
            yield [_values(_prediction_line(*row), columns) for row in portion]

    return _respond(lines(), f"{serial}-predictions.csv")


def _columns(there_are: Sequence[str], wanted: Collection[str] | None) -> list[str]:
    return [column for column in there_are if wanted is None or column in wanted]


def _values(row: object, columns: Iterable[str]) -> Line:
    values = [getattr(row, column) for column in columns]
    return [value.isoformat() if isinstance(value, datetime) else value for value in values]


def _prediction_line(one: Prediction, model: Model) -> PredictionLine:
    return PredictionLine(
        *(one.cycle, one.installation_id, one.observed_at, one.predicted_at, one.received_at),
        *(one.rul_mean_cycles, one.rul_q05_cycles, one.rul_q50_cycles, one.rul_q95_cycles, one.cap_cycles),
        *map(_harmless, (model.name, model.version, model.sha256, one.runtime, one.origin)),
    )


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


def _respond(portions: Iterable[list[Line]], name: str) -> StreamingResponse:
    return StreamingResponse(
        map(_as_csv, portions),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _as_csv(lines: list[Line]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(lines)
    return text.getvalue()


def _harmless(text: str) -> str:
    """A text of a gateway, which no spreadsheet may take for a formula.

    >>> _harmless("=1+1"), _harmless("T24")
    ("'=1+1", 'T24')
    """
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
