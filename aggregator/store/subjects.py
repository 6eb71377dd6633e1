"""Tells records about something new from those about what is stored already, and compares these."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import structlog
from msgspec.structs import replace
from sqlalchemy import ColumnElement, Connection, Table, and_, or_, select

from aggregator.store.arrivals import Entry
from aggregator.store.ledger import Item
from aggregator.store.placements import Measured, Placed, Sorted
from aggregator.store.tables import Prediction, Telemetry, core
from aggregator.store.taken_cycles import Line, Taken, find_taken
from shared import messages
from shared.ranges import as_ranges

RANGES_PER_QUERY = 200  # SQLite refuses expressions deeper than 1,000

log = structlog.get_logger(__name__)

Content = tuple[Any, ...]

_telemetry = core(Telemetry)
_prediction = core(Prediction)
_TABLES: dict[type[Measured], Table] = {messages.Telemetry: _telemetry, messages.Prediction: _prediction}
_CONTENT = {
    _telemetry: [_telemetry.c[name] for name in ("observed_at", "clock_unsynced", "channels", "flags", "refusal")],
    _prediction: [
        _prediction.c[name]
        for name in (
            *("observed_at", "rul_mean_cycles", "rul_q05_cycles", "rul_q50_cycles", "rul_q95_cycles", "cap_cycles"),
            *("runtime", "window_first_cycle", "window_last_cycle", "window_rows", "flags", "input"),
        )
    ],
}


Subject = tuple[Line, int]
"""What a record is about: the second key."""


def sort_out_known(connection: Connection, result: Sorted) -> None:
    """Take out of ``placed`` what is here already, in the store or earlier in this batch: present, or refused."""
    candidates, result.placed = result.placed, []
    gone: list[Subject] = []
    for kind, table in _TABLES.items():
        of_kind = [one for one in candidates if one.kind is kind]
        taken, known = find_taken(connection, of_kind), _find_known(connection, table, of_kind)
        for one in of_kind:
            new = [entry for entry in one.entries if _is_new(one, entry, taken, known, result, gone)]
            if new:
                result.placed.append(replace(one, entries=new))
    if gone:
        first = [(line.engine_id, cycle) for line, cycle in gone[:10]]
        log.warning("records_of_pruned_cycles_not_compared", records=len(gone), engine_ids_and_cycles=first)


def _is_new(
    one: Placed, entry: Entry, taken: Taken, known: dict[Subject, Content], result: Sorted, gone: list[Subject]
) -> bool:
    record: Any = entry.record
    content, subject = _content(record), (Line.of(one, record), record.cycle)
    if subject not in known and taken.has(*subject):  # it was pruned, and with it what it could be compared with
        result.present.append(Item(one.stream, entry))
        gone.append(subject)
        return False
    stored = known.setdefault(subject, content)
    if stored is content:
        return True
    if stored == content:
        result.present.append(Item(one.stream, entry))
    else:
        result.refused.append((Item(one.stream, entry), _contradiction(record)))
    return False


def _content(record: Measured) -> Content:
    """What a record says, in the order of ``_CONTENT``; when it was computed is no part of that."""
    if isinstance(record, messages.Telemetry):
        return (record.observed_at, record.clock_unsynced, record.channels, record.flags, record.refusal)
    rul, window = record.rul_cycles, record.window
    return (
        *(record.observed_at, rul.mean, rul.q05, rul.q50, rul.q95, record.cap_cycles),
        *(record.runtime, window.first_cycle, window.last_cycle, window.rows, record.flags, record.input),
    )


def _contradiction(record: Measured) -> str:
    kind = _TABLES[type(record)].name
    return f"{kind} of engine {record.engine}, cycle {record.cycle}, is already stored with other content"


def _find_known(connection: Connection, table: Table, candidates: Sequence[Placed]) -> dict[Subject, Content]:
    cycles: dict[tuple[int, str], list[int]] = {}
    for one in candidates:
        records: list[Any] = [entry.record for entry in one.entries]
        cycles.setdefault((one.place.engine_id, one.place.id), []).extend(record.cycle for record in records)
    terms = (
        and_(
            table.c.engine_id == engine_id,
            table.c.installation_id == installation_id,
            table.c.cycle.between(first, last),
        )
        for (engine_id, installation_id), of_place in cycles.items()
        for first, last in as_ranges(of_place)
    )
    key = [table.c[name] for name in ("cycle", *Line._fields) if name in table.c]
    return {
        (Line(*row[1 : len(key)]), row[0]): tuple(row[len(key) :])
        for condition in _any_of(terms)
        for row in connection.execute(select(*key, *_CONTENT[table]).where(condition))
    }


def _any_of(terms: Iterable[ColumnElement[bool]]) -> Iterator[ColumnElement[bool]]:
    """Join conditions by OR, in portions that every database takes."""
    remaining = iter(terms)
    while portion := list(islice(remaining, RANGES_PER_QUERY)):
        yield or_(*portion)
