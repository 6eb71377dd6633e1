"""Raises and clears the alarms that no record tells of: what is silent, late or due, and rules that ceased to apply."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache, partial
from typing import NamedTuple

from sqlalchemy import Connection, select

from aggregator.fleet.alarms import Rule, applying
from aggregator.fleet.conditions import (
    Condition,
    DueSoon,
    GatewayOffline,
    OutboxNearlyFull,
    PredictionStale,
    Sight,
    Verdict,
)
from aggregator.store.alarm_rules import read_rules
from aggregator.store.alarm_tables import Alarm
from aggregator.store.alarms import OpenAlarms, Subject
from aggregator.store.commit import against_races
from aggregator.store.database import Store
from aggregator.store.reads.watched import (
    WatchedEngine,
    WatchedGateway,
    list_watched_engines,
    list_watched_gateways,
)
from aggregator.store.tables import core

PORTION = 200  # turns in one transaction, which on SQLite ingest waits for

_alarm = core(Alarm)

Rules = Mapping[str, Rule]


class _Turn(NamedTuple):
    """An alarm to be raised, or cleared where there is no rule."""

    name: str
    subject: Subject
    reason: str
    rule: Rule | None = None


def look_around(store: Store, now: datetime) -> int:
    """Look at everything once, and write what has come of it. Returns how many alarms were raised or cleared.

    It does no harm if two do so at once: an alarm that is raised already is not raised again.
    """
    with store.session() as session:
        connection = session.connection()
        rules = read_rules(connection)
        engines, gateways = list_watched_engines(session, now), list_watched_gateways(session)
        active = _active(connection)
    turns = list(_turns(rules, engines, gateways, active, now))
    for first in range(0, len(turns), PORTION):
        write = partial(_write, turns=turns[first : first + PORTION], now=now)
        against_races(store, write)
    return len(turns)


def _active(connection: Connection) -> set[tuple[str, Subject]]:
    query = select(_alarm.c.rule, _alarm.c.engine_id, _alarm.c.gateway_id)
    rows = connection.execute(query.where(_alarm.c.closed_at.is_(None), _alarm.c.cleared_at.is_(None)))
    return {(rule, Subject(engine_id, gateway_id)) for rule, engine_id, gateway_id in rows}


def _turns(
    rules: Sequence[Rule],
    engines: Sequence[WatchedEngine],
    gateways: Sequence[WatchedGateway],
    active: set[tuple[str, Subject]],
    now: datetime,
) -> Iterator[_Turn]:
    @cache
    def of(subject: str, site: str, kind: str) -> Rules:
        return applying([rule for rule in rules if rule.condition.subject == subject], site, kind)

    left = set(active)
    for engine in engines:
        subject = Subject(engine_id=engine.id)
        for name, rule in of("engine", engine.site, engine.type).items():
            left.discard((name, subject))
            sight = _look_at_engine(rule.condition, engine, now)
            if sight is not None:
                yield from _turn(rule, subject, sight, is_active=(name, subject) in active)
    for gateway in gateways:
        subject = Subject(gateway_id=gateway.id)
        for name, rule in of("gateway", gateway.site, "").items():
            left.discard((name, subject))
            sight = _look_at_gateway(rule.condition, gateway, now)
            if sight is not None:
                yield from _turn(rule, subject, sight, is_active=(name, subject) in active)
    for name, subject in sorted(left, key=str):
        yield _Turn(name, subject, f"rule {name} no longer applies to it")


def _turn(rule: Rule, subject: Subject, sight: Sight, *, is_active: bool) -> Iterator[_Turn]:
    if sight.verdict is Verdict.BAD and not is_active:
        yield _Turn(rule.name, subject, sight.reason, rule)
    elif sight.verdict is Verdict.GOOD and is_active:
        yield _Turn(rule.name, subject, sight.reason)


def _look_at_engine(condition: Condition, engine: WatchedEngine, now: datetime) -> Sight | None:
    """What a condition says of an engine; None where it judges records."""
    match condition:
        case PredictionStale():
            if engine.signs is None or not engine.is_operational:
                return Sight(Verdict.GOOD, "it is not in operation")
            return condition.look(engine.predicted_at or now, engine.signs, now)
        case DueSoon():
            return condition.look(engine.life, now)
        case _:
            return None


def _look_at_gateway(condition: Condition, gateway: WatchedGateway, now: datetime) -> Sight | None:
    match condition:
        case GatewayOffline():
            return condition.look(gateway.signs, now)
        case OutboxNearlyFull():
            return condition.look(gateway.used_bytes, gateway.capacity_bytes)
        case _:
            return None


def _write(connection: Connection, _: int, turns: Sequence[_Turn], now: datetime) -> None:
    engine_ids = {turn.subject.engine_id for turn in turns if turn.subject.engine_id is not None}
    gateway_ids = {turn.subject.gateway_id for turn in turns if turn.subject.gateway_id is not None}
    open_alarms = OpenAlarms(connection, engine_ids, gateway_ids)
    for turn in turns:
        if turn.rule is None:
            open_alarms.clear(turn.name, turn.subject, now, turn.reason)
        else:
            open_alarms.raise_(turn.rule, turn.subject, now, turn.reason)
