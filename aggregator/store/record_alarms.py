"""Judges the records that moved an engine's state on, in the transaction that takes them.

What moves no state raises no alarm: backlog behind what is live, repeats, and predictions that somebody asked for.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from aggregator.fleet.alarms import Rule, applying, follow
from aggregator.fleet.conditions import Condition, RulLow, SensorBad, Verdict
from aggregator.fleet.rul import Rul
from aggregator.store.alarm_rules import read_rules
from aggregator.store.alarms import OpenAlarms, Subject
from aggregator.store.arrivals import Entry
from aggregator.store.tables import Engine, core
from shared import messages

_engine = core(Engine)

Streaks = dict[str, int]
"""By rule: above zero, how many of the latest records in a row speak for raising its alarm; below, for clearing it.

Zero stands where the alarm was raised and no record speaks for clearing it. Of what is not here nothing is raised.
"""


class News(NamedTuple):
    """Records of one engine and kind that its state has moved on by, each later than the one before."""

    engine_id: int
    entries: Sequence[Entry]


def judge_news(connection: Connection, news: Iterable[News], states: Mapping[int, dict[str, Any]]) -> None:
    """Raise and clear alarms by records, and count in the states of their engines what may come to one.

    Nearly always nothing is raised, and nothing can be: then only the rules are read.
    """
    rules = [rule for rule in read_rules(connection) if isinstance(rule.condition, RulLow | SensorBad)]
    conditions = {rule.condition for rule in rules if rule.is_enabled}
    restless = [
        one for one in news if states[one.engine_id]["alarm_streaks"] is not None or _has_bad(conditions, one.entries)
    ]
    if not restless:
        return
    of_engine = _applying(connection, rules, {one.engine_id for one in restless})
    open_alarms = OpenAlarms(connection, engine_ids=of_engine)
    for one in restless:
        state = states[one.engine_id]
        streaks = _judge(one, of_engine[one.engine_id], state["alarm_streaks"] or {}, open_alarms)
        state["alarm_streaks"] = streaks or None


def _has_bad(conditions: Iterable[Condition], entries: Sequence[Entry]) -> bool:
    """Whether any record speaks for raising any alarm."""
    records: list[Any] = [entry.record for entry in entries]
    if not isinstance(records[0], messages.Prediction):
        flagged = [record.flags for record in records if record.flags]
        return any(
            isinstance(one, SensorBad) and any(one.judge(flags) is Verdict.BAD for flags in flagged)
            for one in conditions
        )
    # No quantile that a rule can go by is below q05.
    lowest = min([record.rul_cycles.q05 for record in records])
    return any(
        isinstance(one, RulLow)
        and lowest < one.below_cycles
        and any(one.judge(_rul(record)) is Verdict.BAD for record in records)
        for one in conditions
    )


def _applying(
    connection: Connection, rules: Sequence[Rule], engine_ids: Iterable[int]
) -> Mapping[int, Mapping[str, Rule]]:
    if not any(rule.site or rule.type for rule in rules):
        everywhere = applying(rules, "")
        return dict.fromkeys(engine_ids, everywhere)
    query = select(_engine.c.id, _engine.c.site, _engine.c.type).where(_engine.c.id.in_(list(engine_ids)))
    return {engine_id: applying(rules, site, kind) for engine_id, site, kind in connection.execute(query)}


def _judge(one: News, rules: Mapping[str, Rule], before: Streaks, open_alarms: OpenAlarms) -> Streaks:
    """The streaks after these records; those of rules that no longer apply are forgotten."""
    after = {name: streak for name, streak in before.items() if name in rules}
    subject = Subject(engine_id=one.engine_id)
    for name, rule in rules.items():
        judged = _judged(rule.condition, [entry.record for entry in one.entries])
        if judged is None:
            continue
        is_active, streak = open_alarms.is_active(name, subject), after.pop(name, 0)
        # Somebody may have resolved it since; then what speaks for clearing it counts no more.
        streak = max(0, -streak if is_active else streak)
        turns, streak = follow(judged.verdicts, judged.in_a_row, is_active=is_active, streak=streak)
        for turn in turns:
            entry: Any = one.entries[turn.place]
            reason = judged.tell(turn.place)
            if turn.is_active:
                open_alarms.raise_(rule, subject, entry.received_at, reason, entry.record.cycle)
            else:
                open_alarms.clear(name, subject, entry.received_at, reason)
        if open_alarms.is_active(name, subject):
            after[name] = -streak
        elif streak:
            after[name] = streak
    return after


class _Judged(NamedTuple):
    in_a_row: int
    verdicts: Sequence[Verdict]
    tell: Callable[[int], str]


def _judged(condition: Condition, records: Sequence[Any]) -> _Judged | None:
    """What a condition says of records, and how it tells of one; None where it is about other ones."""
    is_prediction = isinstance(records[0], messages.Prediction)
    match condition:
        case RulLow() as low if is_prediction:
            ruls = [_rul(record) for record in records]
            return _Judged(low.predictions, [low.judge(rul) for rul in ruls], lambda index: low.tell(ruls[index]))
        case SensorBad() as bad if not is_prediction:
            verdicts = [bad.judge(record.flags) for record in records]
            return _Judged(bad.rows, verdicts, lambda index: bad.tell(records[index].flags))
        case _:
            return None


def _rul(record: messages.Prediction) -> Rul:
    rul = record.rul_cycles
    return Rul(rul.mean, rul.q05, rul.q50, rul.q95, record.cap_cycles)
