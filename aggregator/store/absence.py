"""Raises and clears the alarms that no record tells of: what is silent, late, due, too much, or no longer asked for."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, select

from aggregator.fleet.alarms import Rule, applying
from aggregator.fleet.conditions import (
    Condition,
    DueSoon,
    GatewayOffline,
    OutboxNearlyFull,
    PredictionStale,
    QuarantineGrowing,
    Sight,
    Verdict,
)
from aggregator.store.alarm_rules import not_understood, read_rules
from aggregator.store.alarms import OpenAlarms, Subject
from aggregator.store.database import Store
from aggregator.store.portions import write_in_portions
from aggregator.store.reads.quarantine import count_set_aside
from aggregator.store.reads.watched import (
    WatchedEngine,
    WatchedGateway,
    list_watched_engines,
    list_watched_gateways,
)
from aggregator.store.tables import Alarm, core

SUBJECTS = {"engine_id": "engine", "gateway_id": "gateway"}

_alarm = core(Alarm)


class _Turn(NamedTuple):
    """An alarm to be raised, or cleared where there is no rule."""

    name: str
    subject: Subject
    reason: str
    rule: Rule | None = None


class _Watched(NamedTuple):
    """Something that rules may apply to; ``look`` says what a condition sees of it, None where it judges records."""

    subject: Subject
    site: str
    type: str
    look: Callable[[Condition], Sight | None]


def look_at_engines(store: Store, now: datetime) -> int:
    """Look at every engine once, and write what has come of it. Returns how many alarms were raised or cleared.

    It does no harm if two do so at once: an alarm that is raised already is not raised again.
    """
    with store.session() as session:
        watched = [
            _Watched(Subject(engine_id=one.id), one.site, one.type, partial(_look_at_engine, one, now))
            for one in list_watched_engines(session, now)
        ]
        turns = list(_turns(session.connection(), watched, _alarm.c.engine_id))
    write_in_portions(store, turns, partial(_write, now=now))
    return len(turns)


def look_at_gateways(store: Store, now: datetime) -> int:
    """The same of every gateway."""
    with store.session() as session:

        @cache
        def waiting(within_s: float) -> Counter[str]:
            return count_set_aside(session, now - timedelta(seconds=within_s))

        watched = [
            _Watched(Subject(gateway_id=one.id), one.site, "", partial(_look_at_gateway, one, now, waiting))
            for one in list_watched_gateways(session)
        ]
        turns = list(_turns(session.connection(), watched, _alarm.c.gateway_id))
    write_in_portions(store, turns, partial(_write, now=now))
    return len(turns)


def _turns(connection: Connection, watched: Iterable[_Watched], about: Column[Any]) -> Iterator[_Turn]:
    """What is to be raised and cleared, of what alarms are about by one of their columns."""
    rules, active = read_rules(connection), _active(connection, about)
    theirs = not_understood(connection)
    left = {(name, subject) for name, subject in active if name not in theirs}

    @cache
    def rules_for(site: str, kind: str) -> Mapping[str, Rule]:
        return applying([rule for rule in rules if rule.condition.subject == SUBJECTS[about.name]], site, kind)

    for subject, site, kind, look in watched:
        for name, rule in rules_for(site, kind).items():
            left.discard((name, subject))
            sight = look(rule.condition)
            if sight is not None:
                yield from _turn(rule, subject, sight, is_active=(name, subject) in active)
    for name, subject in sorted(left, key=str):
        yield _Turn(name, subject, f"rule {name} no longer applies to it")


def _active(connection: Connection, about: Column[Any]) -> set[tuple[str, Subject]]:
    query = select(_alarm.c.rule, _alarm.c.engine_id, _alarm.c.gateway_id).where(about.is_not(None))
    rows = connection.execute(query.where(_alarm.c.closed_at.is_(None), _alarm.c.cleared_at.is_(None)))
    return {(rule, Subject(engine_id, gateway_id)) for rule, engine_id, gateway_id in rows}


def _turn(rule: Rule, subject: Subject, sight: Sight, *, is_active: bool) -> Iterator[_Turn]:
    if sight.verdict is Verdict.BAD and not is_active:
        yield _Turn(rule.name, subject, sight.reason, rule)
    elif sight.verdict is Verdict.GOOD and is_active:
        yield _Turn(rule.name, subject, sight.reason)


def _look_at_engine(engine: WatchedEngine, now: datetime, condition: Condition) -> Sight | None:
    match condition:
        case PredictionStale():
            if engine.signs is None or not engine.is_operational:
                return Sight(Verdict.GOOD, "it is not in operation")
            return condition.look(engine.predicted_at or now, engine.signs, now)
        case DueSoon():
            return condition.look(engine.life, now)
        case _:
            return None


def _look_at_gateway(
    gateway: WatchedGateway, now: datetime, waiting: Callable[[float], Counter[str]], condition: Condition
) -> Sight | None:
    match condition:
        case GatewayOffline():
            return condition.look(gateway.signs, now)
        case OutboxNearlyFull():
            return condition.look(gateway.used_bytes, gateway.capacity_bytes)
        case QuarantineGrowing():
            return condition.look(waiting(condition.within_s)[gateway.name])
        case _:
            return None


def _write(connection: Connection, turns: Sequence[_Turn], now: datetime) -> None:
    engine_ids = {turn.subject.engine_id for turn in turns if turn.subject.engine_id is not None}
    gateway_ids = {turn.subject.gateway_id for turn in turns if turn.subject.gateway_id is not None}
    open_alarms = OpenAlarms(connection, engine_ids, gateway_ids)
    for turn in turns:
        if turn.rule is None:
            open_alarms.clear(turn.name, turn.subject, now, turn.reason)
        else:
            open_alarms.raise_(turn.rule, turn.subject, now, turn.reason)
