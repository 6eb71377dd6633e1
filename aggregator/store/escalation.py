"""Makes alarms more urgent that nobody has acknowledged for as long as their rules say."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection, func, insert, select, update

from aggregator.fleet.alarms import Priority, applying, more_urgent
from aggregator.fleet.durations import in_words
from aggregator.store.alarm_rules import read_rules
from aggregator.store.alarms import CENTRE
from aggregator.store.database import Store
from aggregator.store.portions import write_in_portions
from aggregator.store.tables import Alarm, AlarmChange, Engine, Gateway, core

_alarm, _change, _engine, _gateway = core(Alarm), core(AlarmChange), core(Engine), core(Gateway)

_MAY = (
    _alarm.c.closed_at.is_(None),
    _alarm.c.cleared_at.is_(None),
    _alarm.c.acknowledged_at.is_(None),
    _alarm.c.priority_set_by.is_(None),
)


class _Step(NamedTuple):
    """One alarm and its next priority."""

    alarm_id: int
    before: Priority
    after: Priority
    note: str


def escalate(store: Store, now: datetime) -> int:
    """Make each alarm one step more urgent that has been active at its priority, unseen, for long enough.

    It does no harm if two do so at once. An alarm that is shelved waits, and as long again once it comes back.

    Returns:
        How many alarms were due for it.
    """
    with store.session() as session:
        steps = list(_steps(session.connection(), now))
    write_in_portions(store, steps, partial(_write, now=now))
    return len(steps)


def _steps(connection: Connection, now: datetime) -> Iterator[_Step]:
    rules = read_rules(connection)
    names = {rule.name for rule in rules if rule.escalates_after_s is not None}
    if not names:
        return
    columns = (_alarm.c[name] for name in ("id", "rule", "priority", "raised_at", "priority_at", "shelved_until"))
    site, kind = func.coalesce(_engine.c.site, _gateway.c.site), func.coalesce(_engine.c.type, "")
    query = (
        select(*columns, site.label("site"), kind.label("type"))
        .outerjoin(_engine, _engine.c.id == _alarm.c.engine_id)
        .outerjoin(_gateway, _gateway.c.id == _alarm.c.gateway_id)
        .where(*_MAY, _alarm.c.rule.in_(sorted(names)), _alarm.c.priority != Priority.URGENT.value)
        .order_by(_alarm.c.id)
    )
    for row in connection.execute(query):
        rule = applying(rules, row.site, row.type).get(row.rule)
        after_s = None if rule is None else rule.escalates_after_s
        since = max(at for at in (row.raised_at, row.priority_at, row.shelved_until) if at is not None)
        if after_s is not None and now - since >= timedelta(seconds=after_s):
            before = Priority(row.priority)
            after = more_urgent(before)
            note = f"to {after}: nobody has acknowledged it for {in_words(after_s)}"
            yield _Step(row.id, before, after, note)


def _write(connection: Connection, steps: Sequence[_Step], now: datetime) -> None:
    for step in steps:
        still = _alarm.c.id == step.alarm_id, _alarm.c.priority == step.before.value
        values = {"priority": step.after.value, "priority_at": now}
        if connection.execute(update(_alarm).where(*still, *_MAY).values(values)).rowcount:
            row = {"alarm_id": step.alarm_id, "at": now, "who": CENTRE, "action": "escalated", "note": step.note}
            connection.execute(insert(_change).values(row))
