"""The current state of each engine: one row, whose halves (telemetry, prediction) move only forward."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

from msgspec.structs import replace
from sqlalchemy import Connection, bindparam, insert, select, update

from aggregator.fleet.utilisation import Mark, measure, remember
from aggregator.store.arrivals import Entry
from aggregator.store.placements import Placed
from aggregator.store.record_alarms import News, judge_news
from aggregator.store.tables import CurrentState, Installation, core
from shared import messages
from shared.clock import is_set

_state = core(CurrentState)
_installation = core(Installation)
_WRITTEN = [column.name for column in _state.c if column.name != "changed"]

Row = dict[str, Any]


def advance(connection: Connection, placed: Iterable[Placed]) -> None:
    """Move the current states on to the records just placed, wherever those are later.

    Later is: a later installation of the engine; within one, a later stream; within one, a later seq. A prediction that
    somebody asked for is history, and never the state.
    """
    in_order = _in_order(unasked for one in placed if (unasked := _unasked(one)) is not None)
    states = _find_states(connection, {engine_id for engine_id, _ in in_order})
    changed: dict[int, Row] = {}
    news: list[News] = []
    for (engine_id, half), of_half in in_order.items():
        before = changed.get(engine_id, states.get(engine_id))
        later = _later(before, half, of_half[-1])
        if later is not None:
            changed[engine_id] = later
        entries = [] if later is None else _entries_since(before, half, of_half)
        has_late = len(entries) < sum(len(one.entries) for one in of_half)
        news.append(News(engine_id, of_half[0].kind, entries, has_late, _reached_cycle(before, half, of_half[-1])))
    for engine_id, streaks in judge_news(connection, news, states | changed).items():
        changed[engine_id] = changed.get(engine_id, states.get(engine_id, {})) | {"alarm_streaks": streaks}
    _write(connection, changed, known=states.keys())


def _in_order(placed: Iterable[Placed]) -> dict[tuple[int, str], list[Placed]]:
    """By engine and half, the records with the latest ones last."""
    found: dict[tuple[int, str], list[Placed]] = {}
    for one in placed:
        key = (one.place.engine_id, "telemetry" if one.kind is messages.Telemetry else "prediction")
        found.setdefault(key, []).append(one)
    for of_half in found.values():
        of_half.sort(key=lambda one: (one.place.installed_from, one.place.id, one.stream.ordinal, one.entries[-1].seq))
    return found


def _entries_since(state: Row | None, half: str, of_half: Sequence[Placed]) -> list[Entry]:
    """Those of the latest installation that are later than what the state has come to; records of one half in order."""
    place = of_half[-1].place
    reached = (0, 0)
    if state is not None and state["installation_id"] == place.id:
        reached = (state[f"{half}_stream_ordinal"] or 0, state[f"{half}_seq"] or 0)
    later: list[Entry] = []
    for one in of_half:
        if one.place.id != place.id:
            continue
        is_all_later = (one.stream.ordinal, one.entries[0].seq) > reached
        later += one.entries if is_all_later else [e for e in one.entries if (one.stream.ordinal, e.seq) > reached]
    return later


def _reached_cycle(state: Row | None, half: str, one: Placed) -> int:
    if state is None or state["installation_id"] != one.place.id:
        return 0
    return state[f"{half}_cycle"] or 0


def _unasked(one: Placed) -> Placed | None:
    """The same but for the predictions by request, None where there is nothing else."""
    if one.kind is messages.Telemetry:
        return one
    unasked = [entry for entry in one.entries if cast(messages.Prediction, entry.record).origin == "edge"]
    if len(unasked) == len(one.entries):
        return one
    return replace(one, entries=unasked) if unasked else None


def _find_states(connection: Connection, engine_ids: Iterable[int]) -> dict[int, Row]:
    """The rows of these engines, locked against other replicas, always in the same order."""
    query = (
        select(_state, _installation.c.installed_from)
        .join(_installation, _installation.c.id == _state.c.installation_id)
        .where(_state.c.engine_id.in_(list(engine_ids)))
        .order_by(_state.c.engine_id)
        .with_for_update(of=_state)
    )
    return {row["engine_id"]: dict(row) for row in connection.execute(query).mappings()}


def _later(state: Row | None, half: str, one: Placed) -> Row | None:
    """The state after the last of these records, or nothing if it changes nothing."""
    place = one.place
    if state is None or (state["installed_from"], state["installation_id"]) < (place.installed_from, place.id):
        known = {} if state is None else {name: state[name] for name in ("cycles_per_day", "alarm_streaks")}
        state = dict.fromkeys(_state.c.keys()) | place._asdict() | {"installation_id": place.id} | known
    elif state["installation_id"] != place.id:
        return None
    reached = (state[f"{half}_stream_ordinal"] or 0, state[f"{half}_seq"] or 0)
    stream, seq = one.stream, one.entries[-1].seq
    if (stream.ordinal, seq) <= reached:
        return None
    progress: Row = {f"{half}_stream_ordinal": stream.ordinal, f"{half}_seq": seq}
    if one.kind is messages.Telemetry:
        progress |= _utilisation(state, one.entries)
    return state | progress | _content(one)


def _utilisation(state: Row, entries: Sequence[Entry]) -> Row:
    """The utilisation after these rows; a clock that is not to be trusted changes nothing.

    What was measured before a pause of weeks, or where the engine hung before, holds until there is a day to measure.
    """
    marks: Sequence[Mark] = state["cycle_marks"] or []
    first, last = (cast(messages.Telemetry, entry.record) for entry in (entries[0], entries[-1]))
    if last.clock_unsynced or not is_set(last.observed_at):
        return {}
    if not marks and not first.clock_unsynced and is_set(first.observed_at):
        marks = remember([], first.observed_at, first.cycle)
    marks = remember(marks, last.observed_at, last.cycle)
    measured = measure(marks, last.observed_at, last.cycle)
    return {"cycle_marks": marks, "cycles_per_day": state["cycles_per_day"] if measured is None else measured}


def _content(one: Placed) -> Row:
    entry = one.entries[-1]
    record: Any = entry.record
    if one.kind is messages.Telemetry:
        return {
            "telemetry_cycle": record.cycle,
            "telemetry_observed_at": record.observed_at,
            "telemetry_received_at": entry.received_at,
            "clock_unsynced": record.clock_unsynced,
            "channels": record.channels,
            "telemetry_flags": record.flags,
            "refusal": record.refusal,
        }
    return {
        "prediction_cycle": record.cycle,
        "prediction_observed_at": record.observed_at,
        "predicted_at": record.predicted_at,
        "prediction_received_at": entry.received_at,
        "rul_mean_cycles": record.rul_cycles.mean,
        "rul_q05_cycles": record.rul_cycles.q05,
        "rul_q50_cycles": record.rul_cycles.q50,
        "rul_q95_cycles": record.rul_cycles.q95,
        "cap_cycles": record.cap_cycles,
        "model_id": one.model_id,
        "prediction_flags": record.flags,
    }


def _write(connection: Connection, states: dict[int, Row], known: Iterable[int]) -> None:
    rows = {engine_id: {name: row[name] for name in _WRITTEN} for engine_id, row in states.items()}
    old = set(known)
    added = [row for engine_id, row in rows.items() if engine_id not in old]
    moved = [row | {"this_engine_id": engine_id} for engine_id, row in rows.items() if engine_id in old]
    if added:
        connection.execute(insert(_state), added)
    if moved:
        connection.execute(update(_state).where(_state.c.engine_id == bindparam("this_engine_id")), moved)
