"""Holds predictions against lives whose end a work order has told, and keeps what came of it, a few rows per life."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Select, delete, func, insert
from sqlalchemy import select as core_select
from sqlmodel import Session, col, select

from aggregator.fleet.alarms import applying
from aggregator.fleet.conditions import RulLow
from aggregator.fleet.ended_lives import Boundary, Hung, Stretch, stretches_of
from aggregator.fleet.scoring import Floats, Held, first_spoke, sum_up
from aggregator.fleet.work_orders import Outcome
from aggregator.store.alarm_rules import read_rules
from aggregator.store.database import Store
from aggregator.store.reads.whole import read_whole
from aggregator.store.registry import key_of
from aggregator.store.tables import (
    Alarm,
    EndedLife,
    Engine,
    Installation,
    LifeScore,
    Overhaul,
    Prediction,
    Telemetry,
    WorkOrder,
    core,
)

LATE = timedelta(days=90)
"""For so long after a work order is done, predictions that come late are still counted in."""
_DAY = timedelta(days=1)
_QUANTITIES = ("left", "mean", "q05", "q50", "q95", "cap")

_prediction = core(Prediction)


@dataclass(frozen=True, slots=True)
class _Life:
    """A life that a work order has ended; ``is_open`` where it went on all the same, as after a removal."""

    order: WorkOrder
    boundary: Boundary | None
    stretches: list[Stretch]
    is_open: bool


def score_lives(session: Session, engine_id: int, since: datetime, now: datetime) -> None:
    """Score the lives of an engine that ended since, in the transaction that tells of an end or corrects it.

    Those that ended before stay as they are: records that they were scored by may have been pruned. An engine that was
    removed and failed later, without an overhaul between, has had one life, and not two.
    """
    for life in list(_lives(session, engine_id)):
        key = key_of(life.order.id)
        if life.is_open:
            _forget(session, key)
        elif _ended_at(life.order) >= since or session.get(EndedLife, key) is None:
            _score(session, life, now)
    told = {key_of(order.id) for order in _ends(session, engine_id)}
    known = session.exec(select(EndedLife.work_order_id).where(EndedLife.engine_id == engine_id)).all()
    for key in set(known) - told:
        _forget(session, key)


def score_late(store: Store, now: datetime) -> int:
    """Score those lives anew of which predictions have come late, or stays been corrected; returns how many."""
    with store.session() as session:
        recent = select(EndedLife.engine_id).join(WorkOrder, col(WorkOrder.id) == EndedLife.work_order_id)
        engines = session.exec(recent.where(col(WorkOrder.closed_at) >= now - LATE).distinct()).all()
    scored = 0
    for engine_id in sorted(engines):
        with store.session() as session:
            late = [key_of(life.order.id) for life in _lives(session, engine_id) if _is_other(session, life)]
        if late:
            with store.session(writes=True) as session:
                for life in list(_lives(session, engine_id)):
                    if life.order.id in late:
                        _score(session, life, now)
                session.commit()
            scored += len(late)
    return scored


def _lives(session: Session, engine_id: int) -> Iterator[_Life]:
    """The lives of an engine of which somebody has told the end, in the order of time."""
    ends = _ends(session, engine_id)
    stays = _stays(session, engine_id)
    overhauls = session.exec(select(Overhaul).where(Overhaul.engine_id == engine_id)).all()
    boundaries = sorted(
        [*map(_by_overhaul, overhauls), *(_by_failure(session, one) for one in ends if one.outcome == Outcome.FAILED)],
        key=lambda one: (one.at, one.is_overhaul),
    )
    for place, order in enumerate(ends):
        ended_at = _ended_at(order)
        boundary = next((one for one in reversed(boundaries) if one.at < ended_at), None)
        until = next(n for n, stay in enumerate(stays) if stay.installation_id == order.ended_installation_id)
        stretches = stretches_of(stays[: until + 1], boundary, order.ended_cycle or 0)
        is_open = order.outcome == Outcome.REPLACED and _goes_on(ended_at, ends[place + 1 :], boundaries)
        yield _Life(order, boundary, stretches, is_open)


def _goes_on(removed_at: datetime, later: Sequence[WorkOrder], boundaries: Sequence[Boundary]) -> bool:
    """Whether the life of an engine that was removed has its end later."""
    if not later:
        return False
    return not any(one.is_overhaul and removed_at <= one.at < _ended_at(later[0]) for one in boundaries)


def _ends(session: Session, engine_id: int) -> Sequence[WorkOrder]:
    query = select(WorkOrder).where(
        WorkOrder.engine_id == engine_id,
        col(WorkOrder.outcome).in_((Outcome.FAILED, Outcome.REPLACED, Outcome.OVERHAULED)),
        col(WorkOrder.ended_installation_id).is_not(None),
    )
    return session.exec(query.order_by(col(WorkOrder.ended_at), col(WorkOrder.id))).all()


def _stays(session: Session, engine_id: int) -> list[Hung]:
    last_cycle = (
        select(func.coalesce(func.max(Telemetry.cycle), 0))
        .where(Telemetry.engine_id == engine_id, Telemetry.installation_id == Installation.id)
        .scalar_subquery()
    )
    query = select(Installation.id, Installation.installed_from, Installation.installation_cycle, last_cycle)
    query = query.where(Installation.engine_id == engine_id)
    return [Hung(*row) for row in session.exec(query.order_by(col(Installation.installed_from), col(Installation.id)))]


def _by_overhaul(one: Overhaul) -> Boundary:
    return Boundary(one.at, True, one.installation_id, one.after_cycle)


def _by_failure(session: Session, order: WorkOrder) -> Boundary:
    at, where = _ended_at(order), session.get_one(Installation, order.ended_installation_id)
    if where.installed_to is not None and where.installed_to <= at:
        return Boundary(at, False)
    return Boundary(at, False, where.id, order.ended_cycle)


def _score(session: Session, life: _Life, now: datetime) -> None:
    order, key = life.order, key_of(life.order.id)
    engine = session.get_one(Engine, order.engine_id)
    is_failure = order.outcome == Outcome.FAILED
    told = _Told(session, life)
    _forget(session, key)
    connection = session.connection()
    connection.execute(
        insert(core(EndedLife)).values(
            work_order_id=key,
            engine_id=order.engine_id,
            is_failure=is_failure,
            ended_at=_ended_at(order),
            stretches=life.stretches,
            cycles=max(0, life.stretches[0].ends_at - life.stretches[0].after_cycle) if life.stretches else 0,
            predictions=len(told.model_ids),
            alarms=_alarms(session, life, told),
            scored_at=now,
        )
    )
    rules = applying(read_rules(connection), engine.site, engine.type)
    conditions = {name: rule.condition for name, rule in rules.items() if isinstance(rule.condition, RulLow)}
    scores = [_of_model(told, int(model_id), conditions, life) for model_id in np.unique(told.model_ids)]
    if scores:
        connection.execute(insert(core(LifeScore)), scores)


def _of_model(told: "_Told", model_id: int, conditions: Mapping[str, RulLow], life: _Life) -> dict[str, Any]:
    held = told.of_model(model_id)
    return {
        "work_order_id": life.order.id,
        "model_id": model_id,
        "sums": asdict(sum_up(held, is_failure=life.order.outcome == Outcome.FAILED)),
        "leads": first_spoke(held, conditions),
    }


class _Told:
    """The predictions of a life, in their order, with how many cycles were left at each."""

    def __init__(self, session: Session, life: _Life) -> None:
        rows: list[tuple[Any, ...]] = []
        for stretch in life.stretches:
            query = _within(_columns(), life.order.engine_id, stretch).order_by(_prediction.c.cycle)
            found = read_whole(session, query)
            rows += [(model_id, at, stretch.ends_at - cycle, *rul) for model_id, at, cycle, *rul in found]
        model_ids, received_at, *quantities = zip(*rows, strict=True) if rows else ((),) * 8
        self._received_at: tuple[datetime, ...] = received_at
        self.model_ids = np.array(model_ids, dtype=np.int64)
        self._quantities: dict[str, Floats] = {
            name: np.array(values, dtype=np.float64) for name, values in zip(_QUANTITIES, quantities, strict=True)
        }

    def of_model(self, model_id: int) -> Held:
        """Those of one model."""
        return Held(**{name: values[self.model_ids == model_id] for name, values in self._quantities.items()})

    def left_at(self, at: datetime) -> int | None:
        """How many cycles were left by the latest prediction that had been received by a time."""
        is_there = np.array([received_at <= at for received_at in self._received_at], dtype=np.bool_)
        left = self._quantities["left"][is_there]
        return int(left.min()) if left.size else None


def _alarms(session: Session, life: _Life, told: _Told) -> dict[str, tuple[int | None, float]]:
    """By rule, how many cycles and days before the end its alarm was first raised."""
    ended_at = _ended_at(life.order)
    query = select(Alarm.rule, func.min(Alarm.raised_at)).where(
        Alarm.engine_id == life.order.engine_id, Alarm.raised_at <= ended_at
    )
    if life.boundary is not None:
        query = query.where(Alarm.raised_at > life.boundary.at)
    first = session.exec(query.group_by(col(Alarm.rule))).all()
    return {rule: (told.left_at(at), (ended_at - at) / _DAY) for rule, at in first}


def _columns() -> Select[Any]:
    quantities = ("rul_mean", "rul_q05", "rul_q50", "rul_q95", "cap")
    wanted = [_prediction.c[f"{name}_cycles"] for name in quantities]
    return core_select(_prediction.c.model_id, _prediction.c.received_at, _prediction.c.cycle, *wanted)


def _within(query: Select[Any], engine_id: int, stretch: Stretch) -> Select[Any]:
    """Of predictions, those of a stretch of a life that nobody asked for."""
    cycle = _prediction.c.cycle
    query = query.where(
        _prediction.c.engine_id == engine_id,
        _prediction.c.installation_id == stretch.installation_id,
        _prediction.c.origin == "edge",
        cycle > stretch.after_cycle,
    )
    return query if stretch.until_cycle is None else query.where(cycle <= stretch.until_cycle)


def _is_other(session: Session, life: _Life) -> bool:
    """Whether a life is another one than was scored. That there are fewer predictions says that some were pruned."""
    known = session.get(EndedLife, key_of(life.order.id))
    if known is None or life.is_open:
        return False
    if [tuple(one) for one in known.stretches] != life.stretches:
        return True
    counted = (_within(core_select(func.count()), life.order.engine_id, stretch) for stretch in life.stretches)
    return sum(session.connection().scalar(one) or 0 for one in counted) > known.predictions


def _forget(session: Session, work_order_id: int) -> None:
    for table, key in ((LifeScore, LifeScore.work_order_id), (EndedLife, EndedLife.work_order_id)):
        session.connection().execute(delete(table).where(col(key) == work_order_id))


def _ended_at(order: WorkOrder) -> datetime:
    if order.ended_at is None:
        raise RuntimeError(f"work order {order.id} has an outcome and no time of it")
    return order.ended_at
