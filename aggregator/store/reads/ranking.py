"""The orders in which lists show engines, as the store reads them by an index: a page costs as much as it shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, case, func, literal, tuple_

from aggregator.store.tables import CurrentState, Engine, UtcDateTime, core

SortKey = Literal["serial", "rul", "risk", "last_seen"]
SortValue = str | float | datetime

UNPREDICTED_CYCLES = 1e9
NEVER = datetime(1970, 1, 1, tzinfo=UTC)

_engine, _current = core(Engine), core(CurrentState)
LAST_RECORD_AT = case(
    (_current.c.telemetry_received_at > _current.c.prediction_received_at, _current.c.telemetry_received_at),
    else_=func.coalesce(_current.c.prediction_received_at, _current.c.telemetry_received_at),
)
_SORT_COLUMNS: dict[SortKey, ColumnElement[Any]] = {
    "serial": _engine.c.serial,
    "rul": _current.c.rul_q50_cycles,
    "risk": _current.c.rul_q05_cycles,
    "last_seen": func.coalesce(LAST_RECORD_AT, literal(NEVER, UtcDateTime())),
}


@dataclass(frozen=True, slots=True)
class EngineOrder:
    """By what engines are ordered: ``rul`` is the median, ``risk`` the lower quantile, so who may fail first is first.

    Those without a prediction come last by either, those that were never heard from first by ``last_seen``.
    """

    key: SortKey = "serial"
    descending: bool = False


class Part(NamedTuple):
    """Part of a list that one statement reads: which engines, and in which order."""

    conditions: Sequence[ColumnElement[bool]]
    order: Sequence[ColumnElement[Any]]


def parts_of(order: EngineOrder, after: tuple[SortValue, str] | None) -> list[Part]:
    """The parts of a list, or of what comes behind a place in it, to be read one after another.

    Those without a prediction are a part of their own: an index of predictions leads past them.

    Args:
        order: of the list.
        after: what the order compares, and the serial, of the row to go on behind.
    """
    key, serial = _SORT_COLUMNS[order.key], _engine.c.serial
    if order.key == "serial":
        return [_part(order, (), (serial,), after and after[1:])]
    if order.key == "last_seen":
        return [_part(order, (), (key, serial), after)]
    in_unpredicted = after is not None and after[0] == UNPREDICTED_CYCLES
    predicted = _part(order, (key.is_not(None),), (key, serial), None if in_unpredicted else after)
    unpredicted = _part(order, (key.is_(None),), (serial,), after[1:] if after and in_unpredicted else None)
    parts = [unpredicted, predicted] if order.descending else [predicted, unpredicted]
    return parts if after is None or in_unpredicted == order.descending else parts[1:]


def _part(
    order: EngineOrder,
    conditions: Sequence[ColumnElement[bool]],
    columns: Sequence[ColumnElement[Any]],
    after: Sequence[SortValue] | None,
) -> Part:
    if after is not None:
        first, start = columns[0], literal(after[0], columns[0].type)
        place = tuple_(start, *(literal(value) for value in after[1:]))
        # The first column once more on its own: an index on it is entered there.
        behind = (
            (first <= start, tuple_(*columns) < place)
            if order.descending
            else (first >= start, tuple_(*columns) > place)
        )
        conditions = (*conditions, *behind)
    return Part(conditions, [column.desc() for column in columns] if order.descending else columns)
