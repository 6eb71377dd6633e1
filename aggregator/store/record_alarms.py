"""Judges the records that moved an engine's state on, in the transaction that takes them.

What moves no state raises no alarm by itself: backlog behind what is live, repeats, and predictions that somebody asked
for. But live records come first: where they speak for a turn and are too few for it, the backlog has those before them.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from sqlalchemy import Connection, select

from aggregator.fleet.alarms import Rule, applying, follow
from aggregator.fleet.conditions import OfRecords, RulLow, SensorBad, Verdict
from aggregator.fleet.rul import Rul
from aggregator.store import tables
from aggregator.store.alarm_rules import read_rules
from aggregator.store.alarms import OpenAlarms, Subject
from aggregator.store.arrivals import Entry
from aggregator.store.placements import Measured
from aggregator.store.tables import core
from shared import messages

_engine, _prediction, _telemetry = core(tables.Engine), core(tables.Prediction), core(tables.Telemetry)
_RUL = tuple(_prediction.c[f"{name}_cycles"] for name in ("rul_mean", "rul_q05", "rul_q50", "rul_q95", "cap"))
_KINDS: dict[type[OfRecords], type[Measured]] = {RulLow: messages.Prediction, SensorBad: messages.Telemetry}

Streaks = dict[str, int]
"""By rule: above zero, how many of the latest records in a row speak for raising its alarm; below, for clearing it.

Zero stands where the alarm was raised and no record speaks for clearing it. Of what is not here nothing is raised.
"""


class News(NamedTuple):
    """Records of one engine and kind that were written just now.

    Attributes:
        entries: those that its state has moved on by, each later than the one before.
        has_late: whether there were others, from before what the state had come to.
    """

    engine_id: int
    kind: type[Measured]
    entries: Sequence[Entry]
    has_late: bool


class _Seen(NamedTuple):
    """Of one record, what conditions judge: a ``Rul``, or flags."""

    at: datetime
    cycle: int
    what: Any


def judge_news(
    connection: Connection, news: Sequence[News], states: Mapping[int, Mapping[str, Any]]
) -> dict[int, Streaks | None]:
    """Raise and clear alarms by records; returns the streaks that have changed, by engine, for its state to remember.

    Nearly always nothing is raised, and nothing can be: then only the rules are read.
    """
    rules = [rule for rule in read_rules(connection) if isinstance(rule.condition, OfRecords)] if news else []
    conditions = {cast(OfRecords, rule.condition) for rule in rules if rule.is_enabled}
    restless = [one for one in news if states[one.engine_id]["alarm_streaks"] is not None or _has_bad(conditions, one)]
    if not restless:
        return {}
    of_engine = _applying(connection, rules, {one.engine_id for one in restless})
    judge = _Judge(connection, OpenAlarms(connection, engine_ids=of_engine))
    changed: dict[int, Streaks | None] = {}
    for one in restless:
        state = states[one.engine_id]
        before = changed.get(one.engine_id, state["alarm_streaks"]) or {}
        after = judge.streaks_after(one, state["installation_id"], of_engine[one.engine_id], before)
        if after != before:
            changed[one.engine_id] = after or None
    return changed


def _has_bad(conditions: Iterable[OfRecords], one: News) -> bool:
    """Whether any record speaks for raising any alarm."""
    records: list[Any] = [entry.record for entry in one.entries]
    if one.kind is messages.Telemetry:
        flagged = [record.flags for record in records if record.flags]
        return any(
            isinstance(condition, SensorBad) and any(condition.judge(flags) is Verdict.BAD for flags in flagged)
            for condition in conditions
        )
    # No quantile that a rule can go by is below q05.
    lowest = min([record.rul_cycles.q05 for record in records], default=0.0)
    return any(
        isinstance(condition, RulLow)
        and lowest < condition.below_cycles
        and any(condition.judge(_rul(record)) is Verdict.BAD for record in records)
        for condition in conditions
    )


def _applying(
    connection: Connection, rules: Sequence[Rule], engine_ids: Iterable[int]
) -> Mapping[int, Mapping[str, Rule]]:
    if not any(rule.site or rule.type for rule in rules):
        everywhere = applying(rules, "")
        return dict.fromkeys(engine_ids, everywhere)
    query = select(_engine.c.id, _engine.c.site, _engine.c.type).where(_engine.c.id.in_(list(engine_ids)))
    return {engine_id: applying(rules, site, kind) for engine_id, site, kind in connection.execute(query)}


class _Judge:
    """Judges the records of one engine after another."""

    def __init__(self, connection: Connection, open_alarms: OpenAlarms) -> None:
        self._connection, self._open = connection, open_alarms

    def streaks_after(
        self, one: News, installation_id: str, rules: Mapping[str, Rule], before: Mapping[str, int]
    ) -> Streaks:
        """The streaks after these records; those of rules that no longer apply are forgotten."""
        after = {name: streak for name, streak in before.items() if name in rules}
        seen = [_see(entry) for entry in one.entries]
        subject = Subject(engine_id=one.engine_id)
        for name, rule in rules.items():
            condition = cast(OfRecords, rule.condition)
            if _KINDS[type(condition)] is not one.kind:
                continue
            streak = self._follow(rule, condition, subject, seen, after.pop(name, 0))
            is_active = self._open.is_active(name, subject)
            if one.has_late and streak:
                latest = self._latest(condition, one.engine_id, installation_id)
                wanted = Verdict.GOOD if is_active else Verdict.BAD
                if [condition.judge(each.what) for each in latest] == [wanted] * condition.in_a_row:
                    self._turn(rule, condition, subject, latest[0], is_active=not is_active)
                    streak, is_active = 0, not is_active
            if is_active or streak:
                after[name] = -streak if is_active else streak
        return after

    def _follow(self, rule: Rule, condition: OfRecords, subject: Subject, seen: Sequence[_Seen], streak: int) -> int:
        """Raise and clear by records in their order; returns how many in a row speak for the next turn."""
        is_active = self._open.is_active(rule.name, subject)
        # Somebody may have resolved it since; then what speaks for clearing it counts no more.
        streak = max(0, -streak if is_active else streak)
        verdicts = [condition.judge(each.what) for each in seen]
        turns, streak = follow(verdicts, condition.in_a_row, is_active=is_active, streak=streak)
        for turn in turns:
            self._turn(rule, condition, subject, seen[turn.place], is_active=turn.is_active)
        return streak

    def _turn(self, rule: Rule, condition: OfRecords, subject: Subject, by: _Seen, *, is_active: bool) -> None:
        reason = condition.tell(by.what)
        if is_active:
            self._open.raise_(rule, subject, by.at, reason, by.cycle)
        else:
            self._open.clear(rule.name, subject, by.at, reason)

    def _latest(self, condition: OfRecords, engine_id: int, installation_id: str) -> list[_Seen]:
        """What is in the table by now of an engine's latest cycles, the latest first."""
        table, columns = (_prediction, _RUL) if isinstance(condition, RulLow) else (_telemetry, (_telemetry.c.flags,))
        query = select(table.c.received_at, table.c.cycle, *columns)
        query = query.where(table.c.engine_id == engine_id, table.c.installation_id == installation_id)
        if table is _prediction:
            query = query.where(_prediction.c.origin == "edge")
        rows = self._connection.execute(query.order_by(table.c.cycle.desc()).limit(condition.in_a_row))
        is_rul = isinstance(condition, RulLow)
        return [_Seen(at, cycle, Rul(*what) if is_rul else what[0]) for at, cycle, *what in rows]


def _see(entry: Entry) -> _Seen:
    record: Any = entry.record
    what = _rul(record) if isinstance(record, messages.Prediction) else record.flags
    return _Seen(entry.received_at, record.cycle, what)


def _rul(record: messages.Prediction) -> Rul:
    rul = record.rul_cycles
    return Rul(rul.mean, rul.q05, rul.q50, rul.q95, record.cap_cycles)
