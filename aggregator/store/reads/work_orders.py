"""Reads work orders with their engines, what became of each, and the alarms that they see to."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement
from sqlmodel import Session, case, col, func, select
from sqlmodel.sql.expression import Select

from aggregator.access.roles import Sites
from aggregator.fleet.work_orders import Outcome, State
from aggregator.store.tables import Alarm, Engine, WorkOrder, WorkOrderChange


class WorkOrderRow(NamedTuple):
    """A work order, its engine's serial, and where that is."""

    order: WorkOrder
    serial: str
    site: str


@dataclass(frozen=True, slots=True)
class WorkOrderFilter:
    """Which work orders are wanted; None means any. ``unfinished`` are those neither done nor cancelled."""

    state: State | Literal["unfinished"] | None = None
    outcome: Outcome | None = None
    site: str | None = None
    engine: str | None = None
    assigned_to: str | None = None
    opened_since: datetime | None = None


EVERY_ORDER = WorkOrderFilter()


class Unfinished(NamedTuple):
    """How many work orders are in each state, and how many of all should have been done by now."""

    by_state: Counter[State]
    late: int


class UnfinishedOrder(NamedTuple):
    """A work order that is neither done nor cancelled, and on which day it is done; None: nobody knows."""

    id: int
    engine_id: int
    day: date | None


def list_work_orders(
    session: Session,
    sites: Sites,
    wanted: WorkOrderFilter = EVERY_ORDER,
    after: int | None = None,
    limit: int | None = None,
) -> list[WorkOrderRow]:
    """Read the work orders of engines of these sites, the latest first; ``after`` is the id to go on behind."""
    query = _every().where(*_conditions(sites, wanted)).order_by(col(WorkOrder.id).desc()).limit(limit)
    if after is not None:
        query = query.where(col(WorkOrder.id) < after)
    return [WorkOrderRow(*row) for row in session.exec(query)]


def find_work_order(session: Session, sites: Sites, order_id: int) -> WorkOrderRow | None:
    """Read one work order of an engine of these sites."""
    query = _every().where(*_conditions(sites, EVERY_ORDER), WorkOrder.id == order_id)
    row = session.exec(query).first()
    return None if row is None else WorkOrderRow(*row)


def work_orders_by_id(session: Session, order_ids: Collection[int]) -> dict[int, WorkOrderRow]:
    """Read work orders of all sites."""
    rows = session.exec(_every().where(col(WorkOrder.id).in_(sorted(order_ids)))) if order_ids else ()
    return {row.order.id or 0: row for row in (WorkOrderRow(*row) for row in rows)}


def list_work_order_changes(session: Session, order_id: int, limit: int) -> Sequence[WorkOrderChange]:
    """Read what became of a work order, the latest last; of a long history its end."""
    query = select(WorkOrderChange).where(WorkOrderChange.work_order_id == order_id)
    return session.exec(query.order_by(col(WorkOrderChange.id).desc()).limit(limit)).all()[::-1]


def list_alarm_ids(session: Session, order_id: int) -> list[int]:
    """The ids of the alarms that a work order sees to, or saw to."""
    query = select(Alarm.id).where(Alarm.work_order_id == order_id).order_by(col(Alarm.id))
    return [alarm_id for alarm_id in session.exec(query) if alarm_id is not None]


def count_unfinished(session: Session, sites: Sites, today: date) -> Unfinished:
    """Count the work orders of engines of these sites that are neither done nor cancelled."""
    is_late = case((col(WorkOrder.planned_for) < today, 1), else_=0)
    query = select(WorkOrder.state, func.count(), func.sum(is_late)).join(Engine, col(Engine.id) == WorkOrder.engine_id)
    query = query.where(*_conditions(sites, WorkOrderFilter(state="unfinished"))).group_by(col(WorkOrder.state))
    rows = session.exec(query).all()
    return Unfinished(Counter({State(state): count for state, count, _ in rows}), sum(late for _, _, late in rows))


def list_unfinished(session: Session, sites: Sites, site: str | None, kind: str | None) -> list[UnfinishedOrder]:
    """Read the work orders of engines of these sites, of one site and one type if wanted, that are not over.

    One that was begun is done on the day on which it was.
    """
    columns: Any = (WorkOrder.id, WorkOrder.engine_id, WorkOrder.planned_for, WorkOrder.started_at)
    query = select(*columns).join(Engine, col(Engine.id) == WorkOrder.engine_id)
    query = query.where(*_conditions(sites, WorkOrderFilter(state="unfinished", site=site)))
    if kind is not None:
        query = query.where(Engine.type == kind)
    rows = session.exec(query.order_by(col(WorkOrder.id)))
    return [
        UnfinishedOrder(order_id, engine_id, planned_for if started_at is None else started_at.date())
        for order_id, engine_id, planned_for, started_at in rows
    ]


def work_orders_written(session: Session, since: int, until: int) -> list[WorkOrderRow]:
    """Read the work orders that were written by transactions with numbers from ``since`` to below ``until``."""
    changed = col(WorkOrder.changed)
    return [WorkOrderRow(*row) for row in session.exec(_every().where(changed >= since, changed < until))]


def _every() -> Select[WorkOrder, str, str]:
    columns: Any = (WorkOrder, col(Engine.serial), col(Engine.site))
    query: Select[WorkOrder, str, str] = select(*columns)
    return query.join(Engine, col(Engine.id) == WorkOrder.engine_id)


def _conditions(sites: Sites, wanted: WorkOrderFilter) -> list[ColumnElement[bool]]:
    equal: tuple[tuple[Any, Any], ...] = (
        (col(Engine.site), wanted.site),
        (col(Engine.serial), wanted.engine),
        (col(WorkOrder.assigned_to), wanted.assigned_to),
        (col(WorkOrder.outcome), wanted.outcome),
    )
    found = [column == value for column, value in equal if value is not None]
    if sites is not None:
        found.append(col(Engine.site).in_(sorted(sites)))
    if wanted.opened_since is not None:
        found.append(col(WorkOrder.opened_at) >= wanted.opened_since)
    if wanted.state == "unfinished":
        found.append(col(WorkOrder.closed_at).is_(None))
    elif wanted.state is not None:
        found.append(col(WorkOrder.state) == wanted.state)
    return found
