"""Judges the records that moved an engine's state on, in the transaction that takes them.

What moves no state raises no alarm by itself: backlog behind what is live, repeats, and predictions that somebody asked
for. But live records come first: where they speak for a turn and are too few for it, the backlog has those before them.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from sqlalchemy import Connection, select

from aggregator.fleet.alarms import Rule, applying, follow
from aggregator.fleet.conditions import FastDecline, OfRecords, RulLow, SensorBad, Verdict
from aggregator.fleet.decline import falls, least_flown
from aggregator.fleet.rul import Rul
from aggregator.store import tables
from aggregator.store.alarm_rules import read_rules
from aggregator.store.alarms import OpenAlarms, Subject
from aggregator.store.arrivals import Entry
from aggregator.store.judged import JUDGED, judged
from aggregator.store.medians import read_recent
from aggregator.store.placements import Measured
from aggregator.store.tables import core
from shared import messages

_engine, _prediction, _telemetry = core(tables.Engine), core(tables.Prediction), core(tables.Telemetry)
_KINDS: dict[type[OfRecords], type[Measured]] = {
    RulLow: messages.Prediction,
    FastDecline: messages.Prediction,
    SensorBad: messages.Telemetry,
}

State = Mapping[str, Any]
Streaks = dict[str, int]
"""By rule: above zero, how many of the latest records in a row speak for raising its alarm; below, for clearing it.

Zero stands where the alarm was raised and no record speaks for clearing it. Of what is not here nothing is raised.
"""


class News(NamedTuple):
    """Records of one engine and kind that were written just now.

    Attributes:
        entries: those that its state has moved on by, each later than the one before.
        has_late: whether there were others, from before what the state had come to.
        reached_cycle: the cycle that the state had come to; 0 where there was none, or of another installation.
    """

    engine_id: int
    kind: type[Measured]
    entries: Sequence[Entry]
    has_late: bool
    reached_cycle: int


class _Seen(NamedTuple):
    """Of one record, what conditions judge: a ``Rul``, a ``Fall`` if any, or flags."""

    at: datetime
    cycle: int
    what: Any


def judge_news(connection: Connection, news: Sequence[News], states: Mapping[int, State]) -> dict[int, Streaks | None]:
    """Raise and clear alarms by records; returns the streaks that have changed, by engine, for its state to remember.

    Nearly always nothing is raised, and nothing can be: then only the rules are read, and the latest medians of
    engines that are far enough from the cap to have fallen fast.
    """
    rules = [rule for rule in read_rules(connection) if isinstance(rule.condition, OfRecords)] if news else []
    conditions = {cast(OfRecords, rule.condition) for rule in rules if rule.is_enabled}
    sights = _Sights(connection, conditions, news, states)
    restless = [one for one in news if states[one.engine_id]["alarm_streaks"] is not None or sights.has_bad(one)]
    if not restless:
        return {}
    of_engine = _applying(connection, rules, {one.engine_id for one in restless})
    judge = _Judge(connection, OpenAlarms(connection, engine_ids=of_engine), sights)
    changed: dict[int, Streaks | None] = {}
    for one in restless:
        state = states[one.engine_id]
        before = changed.get(one.engine_id, state["alarm_streaks"]) or {}
        after = judge.streaks_after(one, state["installation_id"], of_engine[one.engine_id], before)
        if after != before:
            changed[one.engine_id] = after or None
    return changed


class _Sights:
    """What conditions see of the records that came."""

    def __init__(
        self,
        connection: Connection,
        conditions: Iterable[OfRecords],
        news: Iterable[News],
        states: Mapping[int, State],
    ) -> None:
        self._conditions, self._states = list(conditions), states
        declines = [condition for condition in self._conditions if isinstance(condition, FastDecline)]
        fallen = [
            one
            for one in news
            if declines
            and one.kind is messages.Prediction
            and one.entries
            and (states[one.engine_id]["alarm_streaks"] is not None or _may_have_fallen(declines, one))
        ]
        over_cycles = max((condition.over_cycles for condition in declines), default=0)
        least = min((least_flown(condition.over_cycles) for condition in declines), default=0)
        reached = ((cast(messages.Prediction, one.entries[-1].record).cycle, one.reached_cycle) for one in fallen)
        flown = max((cycle - before for cycle, before in reached), default=0)
        self._recent = read_recent(connection, {one.engine_id for one in fallen}, over_cycles, flown - least)

    def has_bad(self, one: News) -> bool:
        """Whether any record speaks for raising any alarm."""
        return any(
            condition.judge(seen.what) is Verdict.BAD
            for condition in self._conditions
            if self._may_be_bad(condition, one)
            for seen in self.of(condition, one)
        )

    def of(self, condition: OfRecords, one: News) -> list[_Seen]:
        """What a condition sees of each record."""
        records: list[Any] = [entry.record for entry in one.entries]
        match condition:
            case SensorBad():
                what: list[Any] = [record.flags for record in records]
            case FastDecline():
                here = self._states[one.engine_id]["installation_id"]
                recent = self._recent.get(one.engine_id, ())
                medians = [median for median in recent if median.of[0] == here]
                by_cycle = dict(zip((m.cycle for m in medians), falls(medians, condition.over_cycles), strict=True))
                what = [by_cycle.get(record.cycle) for record in records]
            case RulLow():
                what = [_rul(record) for record in records]
        seen = zip(one.entries, records, what, strict=True)
        return [_Seen(entry.received_at, record.cycle, each) for entry, record, each in seen]

    def _may_be_bad(self, condition: OfRecords, one: News) -> bool:
        """Whether it is worth a closer look: of a healthy fleet hardly anything is."""
        if _KINDS[type(condition)] is not one.kind:
            return False
        records: list[Any] = [entry.record for entry in one.entries]
        match condition:
            case SensorBad():
                return any(record.flags for record in records)
            case FastDecline():
                return one.engine_id in self._recent
            case RulLow():
                # No quantile that a rule can go by is below q05.
                return any(record.rul_cycles.q05 < condition.below_cycles for record in records)


def _may_have_fallen(declines: Iterable[FastDecline], one: News) -> bool:
    records: list[Any] = [entry.record for entry in one.entries]
    return any(
        condition.may_hold(record.rul_cycles.q50, record.cap_cycles) for condition in declines for record in records
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

    def __init__(self, connection: Connection, open_alarms: OpenAlarms, sights: _Sights) -> None:
        self._connection, self._open, self._sights = connection, open_alarms, sights

    def streaks_after(
        self, one: News, installation_id: str, rules: Mapping[str, Rule], before: Mapping[str, int]
    ) -> Streaks:
        """The streaks after these records; those of rules that no longer apply are forgotten."""
        after = {name: streak for name, streak in before.items() if name in rules}
        subject = Subject(engine_id=one.engine_id)
        for name, rule in rules.items():
            condition = cast(OfRecords, rule.condition)
            if _KINDS[type(condition)] is not one.kind:
                continue
            seen = self._sights.of(condition, one)
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
        table = _telemetry if isinstance(condition, SensorBad) else _prediction
        query = select(table.c.received_at, table.c.cycle, *JUDGED[type(condition)])
        query = query.where(table.c.engine_id == engine_id, table.c.installation_id == installation_id)
        if table is _prediction:
            query = query.where(_prediction.c.origin == "edge")
        before = condition.over_cycles if isinstance(condition, FastDecline) else 0
        query = query.order_by(table.c.cycle.desc()).limit(condition.in_a_row + before)
        rows = self._connection.execute(query).all()
        what = judged(condition, [row[2:] for row in reversed(rows)])[::-1]
        seen = [_Seen(row[0], row[1], each) for row, each in zip(rows, what, strict=True)]
        return seen[: condition.in_a_row]


def _rul(record: messages.Prediction) -> Rul:
    rul = record.rul_cycles
    return Rul(rul.mean, rul.q05, rul.q50, rul.q95, record.cap_cycles)
