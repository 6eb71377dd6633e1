"""Reads the history of one engine: its predictions with their lineage, and its rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import bindparam
from sqlmodel import Session, col, func, select, tuple_
from sqlmodel.sql.expression import Select, SelectOfScalar

from aggregator.fleet.rul import Rul
from aggregator.store.tables import CurrentState, Model, Prediction, Telemetry

S = TypeVar("S", Select[Prediction, Model], SelectOfScalar[Telemetry], SelectOfScalar[Mapping[Any, Any]])
ROWS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Span:
    """Which part of an engine's history is wanted, by cycle; bounds are inclusive, None means unbounded.

    Attributes:
        installation_id: only what was recorded in this installation.
        after: cycle and row id to go on behind.
        until_id: the id of the last row that is wanted, in the order in which they were stored.
        limit: how many at most.
        since: only what was observed then or later, by the gateway's clock.
        until: only what was observed before.
    """

    from_cycle: int | None = None
    to_cycle: int | None = None
    installation_id: str | None = None
    descending: bool = False
    after: tuple[int, int] | None = None
    until_id: int | None = None
    limit: int | None = None
    since: datetime | None = None
    until: datetime | None = None


def list_predictions(session: Session, engine_id: int, span: Span) -> Sequence[tuple[Prediction, Model]]:
    """Read predictions with their models, ordered by cycle."""
    statement = select(Prediction, Model).join(Model, col(Model.id) == col(Prediction.model_id))
    return session.exec(_within(statement, Prediction, engine_id, span)).all()


def list_telemetry(session: Session, engine_id: int, span: Span) -> Sequence[Telemetry]:
    """Read rows, ordered by cycle."""
    return session.exec(_within(select(Telemetry), Telemetry, engine_id, span)).all()


def list_channels(session: Session, engine_id: int, span: Span) -> list[str]:
    """Read the channels that any of an engine's rows has, in the order of the first row of each."""
    statement = _within(select(Telemetry.channels), Telemetry, engine_id, span)
    found: dict[str, None] = {}
    for channels in session.exec(statement.execution_options(yield_per=ROWS_AT_ONCE)):
        found.update(dict.fromkeys(channels))
    return list(found)


def latest_telemetry_id(session: Session) -> int:
    """The id of the row that was stored last, of whatever engine; 0 where there is none."""
    return session.exec(select(func.max(col(Telemetry.id)))).one() or 0


_LATEST_PREDICTION = (
    select(Prediction, Model)
    .join(Model, col(Model.id) == col(Prediction.model_id))
    .where(
        Prediction.engine_id == bindparam("engine_id"),
        Prediction.installation_id == bindparam("installation_id"),
        Prediction.cycle == bindparam("prediction_cycle"),
        Prediction.model_id == bindparam("model_id"),
        Prediction.origin == "edge",
    )
    .order_by(col(Prediction.id).desc())
)


def latest_prediction(session: Session, current: CurrentState) -> tuple[Prediction, Model] | None:
    """Read the prediction that is an engine's latest state, with its lineage."""
    of_current = current.model_dump(include={"engine_id", "installation_id", "prediction_cycle", "model_id"})
    return session.exec(_LATEST_PREDICTION, params=of_current).first()


def rul_of(prediction: Prediction) -> Rul:
    """The distribution that a prediction states."""
    return Rul(
        prediction.rul_mean_cycles,
        prediction.rul_q05_cycles,
        prediction.rul_q50_cycles,
        prediction.rul_q95_cycles,
        prediction.cap_cycles,
    )


def _within(statement: S, table: type[Prediction] | type[Telemetry], engine_id: int, span: Span) -> S:
    cycle, row_id = col(table.cycle), col(table.id)
    place = tuple_(cycle, row_id)
    statement = statement.where(col(table.engine_id) == engine_id).limit(span.limit)
    if span.from_cycle is not None:
        statement = statement.where(cycle >= span.from_cycle)
    if span.to_cycle is not None:
        statement = statement.where(cycle <= span.to_cycle)
    if span.since is not None:
        statement = statement.where(col(table.observed_at) >= span.since)
    if span.until is not None:
        statement = statement.where(col(table.observed_at) < span.until)
    if span.installation_id is not None:
        statement = statement.where(col(table.installation_id) == span.installation_id)
    if span.until_id is not None:
        statement = statement.where(row_id <= span.until_id)
    if span.after is not None:
        after = tuple_(*span.after)
        statement = statement.where(place < after if span.descending else place > after)
    if span.descending:
        return statement.order_by(cycle.desc(), row_id.desc())
    return statement.order_by(cycle, row_id)
