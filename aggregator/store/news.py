"""What became of alarms and work orders and nobody has decided yet who is told of it.

Each change says by itself whether that was decided, so that whatever is committed, in any order, is told, and once.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, exists, false, or_, update
from sqlmodel import Session, col, select

from aggregator.fleet.alarms import Priority
from aggregator.fleet.notifying import News
from aggregator.store.reads.alarms import AlarmRow, alarms_by_id
from aggregator.store.reads.work_orders import WorkOrderRow, work_orders_by_id
from aggregator.store.tables import AlarmChange, WorkOrderChange

ROUTED_AT_ONCE = 200  # of either kind in one transaction, which on SQLite ingest waits for

Row = TypeVar("Row", AlarmChange, WorkOrderChange)

Show = Callable[[AlarmRow | WorkOrderRow], Mapping[str, Any]]
"""How receivers are shown an alarm or a work order."""


class Happened(NamedTuple):
    """One change, by the key of its row, and what receivers may be told of it."""

    about: str
    news: News
    alarm_id: int | None
    content: Mapping[str, Any]


def has_news() -> ColumnElement[bool]:
    """Whether there is anything to decide."""
    return or_(*(exists().where(col(table.is_routed) == false()) for table in (AlarmChange, WorkOrderChange)))


def take_news(session: Session, show: Show) -> list[Happened]:
    """Read some of what nobody has decided yet, in the transaction that decides it."""
    return [*_of_alarms(session, show), *_of_work_orders(session, show)]


def _of_alarms(session: Session, show: Show) -> list[Happened]:
    changes = _take(session, AlarmChange)
    alarms = alarms_by_id(session, {change.alarm_id for change in changes})
    found = []
    for change in changes:
        row = alarms[change.alarm_id]
        priority, shelved_until = Priority(row.alarm.priority), row.alarm.shelved_until
        news = News(f"alarm.{change.action}", row.site, priority, change.at, shelved_until)
        content = {"alarm": show(row), "change": _shown(change)}
        found.append(Happened(f"alarm_change {change.id}", news, change.alarm_id, content))
    return found


def _of_work_orders(session: Session, show: Show) -> list[Happened]:
    changes = _take(session, WorkOrderChange)
    orders = work_orders_by_id(session, {change.work_order_id for change in changes})
    found = []
    for change in changes:
        row = orders[change.work_order_id]
        news = News(f"work_order.{change.action}", row.site, Priority(row.order.priority), change.at)
        content = {"work_order": show(row), "change": _shown(change)}
        found.append(Happened(f"work_order_change {change.id}", news, None, content))
    return found


def _take(session: Session, table: type[Row]) -> Sequence[Row]:
    query = select(table).where(col(table.is_routed) == false()).order_by(col(table.id))
    changes = session.exec(query.limit(ROUTED_AT_ONCE).with_for_update(skip_locked=True)).all()
    if changes:
        ids = [change.id for change in changes]
        session.connection().execute(update(table).where(col(table.id).in_(ids)).values(is_routed=True))
    return changes


def _shown(change: AlarmChange | WorkOrderChange) -> dict[str, Any]:
    return {"at": change.at.isoformat(), "who": change.who, "action": change.action, "note": change.note}
