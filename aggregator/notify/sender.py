"""Sends what receivers are to be told: decides it from what became of alarms and work, and notes what came of it.

Each of several aggregators has such a loop; the one that holds the lease sends, and another takes over within a minute.
A message may be sent twice, where one ends between sending it and noting that; it has the same id then.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import structlog

from aggregator.api.schemas.alarms import Alarm
from aggregator.api.schemas.work_orders import WorkOrder
from aggregator.fleet.due import DueDate, due_date
from aggregator.notify.courier import Courier
from aggregator.notify.wording import CONFIDENCE
from aggregator.store.database import Store, rest_s
from aggregator.store.lease import end_lease, take_lease
from aggregator.store.news import ROUTED_AT_ONCE
from aggregator.store.notifications import (
    Due,
    forget_old,
    has_work,
    mark_failed,
    mark_refused,
    mark_sent,
    receivers_due,
    route,
    take_due,
)
from aggregator.store.reads.alarms import AlarmRow
from aggregator.store.reads.fleet import find_row
from aggregator.store.reads.work_orders import WorkOrderRow
from shared.cancellation import end

INTERVAL_S = 2.0
LEASE = timedelta(seconds=30)
TASK = "notifications"
FORGET = timedelta(hours=1)

log = structlog.get_logger(__name__)


class Sender:
    """The loop of one aggregator."""

    def __init__(self, store: Store, courier: Courier, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store, self._courier, self._now = store, courier, now
        self._holder = str(uuid4())
        self._until = now()  # for so long the lease is ours
        self._forgot_at: datetime | None = None
        self._serving: dict[int, asyncio.Task[None]] = {}

    async def run(self, interval_s: float = INTERVAL_S) -> None:
        """Run until cancelled; what is being sent then is sent again, and the lease is given back."""
        try:
            while True:
                for receiver_id in await self._look_to_the_end():
                    if receiver_id not in self._serving:
                        self._serve_alone(receiver_id)
                await asyncio.sleep(interval_s)
        finally:
            await end(*self._serving.values())
            await asyncio.to_thread(self._give_back)

    async def _look_to_the_end(self) -> list[int]:
        work = asyncio.create_task(asyncio.to_thread(self.look))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await work  # or it would take the lease once more after that was given back
            raise

    def look(self) -> list[int]:
        """Decide what is to be sent, if it is ours to do; returns the receivers that something is to be sent to now."""
        try:
            now = self._now()
            with self._store.session() as session:
                if not has_work(session, now):
                    return []
            if not take_lease(self._store, TASK, self._holder, now, LEASE):
                return []
            self._until = now + LEASE
            self._decide(now)
            if self._forgot_at is None or now - self._forgot_at >= FORGET:
                forget_old(self._store, now)
                self._forgot_at = now
            with self._store.session() as session:
                return receivers_due(session, now)
        except Exception as error:  # a database that is busy or gone: ingest says so, and the API stays up
            log.warning("notifications_not_looked_at", error=str(error), again_in_s=INTERVAL_S)
            return []

    def _decide(self, now: datetime) -> None:
        """Decide who is told of all that happened, so that a flood is one message, and let others write in between."""
        while self._now() < self._until:
            began = time.monotonic()
            if route(self._store, now, _show) < ROUTED_AT_ONCE:
                return
            time.sleep(rest_s(time.monotonic() - began))

    def _serve_alone(self, receiver_id: int) -> None:
        """Have a task of its own send to a receiver, so that a slow one holds up no other."""
        task = asyncio.create_task(self.serve(receiver_id))
        self._serving[receiver_id] = task
        task.add_done_callback(lambda _: self._serving.pop(receiver_id, None))

    async def serve(self, receiver_id: int) -> None:
        """Send to one receiver what is due, until nothing is or it does not take it."""
        try:
            while (due := await asyncio.to_thread(self._take, receiver_id)) is not None:
                outcome = await self._courier.deliver(due, await asyncio.to_thread(self._lasts_until, due))
                told = {"receiver": due.receiver.name, "notifications": len(due.notifications)}
                match outcome.state:
                    case "sent":
                        await asyncio.to_thread(mark_sent, self._store, due, self._now())
                        log.info("notified", **told)
                    case "refused":
                        await asyncio.to_thread(mark_refused, self._store, due, self._now(), outcome.words)
                        log.warning("notification_given_up", **told, reason=outcome.words)
                    case "failed":
                        mark = self._store, due, self._now(), outcome.words, outcome.retry_after_s
                        given_up = await asyncio.to_thread(mark_failed, *mark)
                        log.warning("notification_failed", **told, reason=outcome.words, given_up=given_up)
                        return
        except Exception as error:
            log.warning("notification_postponed", receiver_id=receiver_id, error=str(error))

    def _take(self, receiver_id: int) -> Due | None:
        now = self._now()
        return take_due(self._store, receiver_id, now) if now < self._until else None

    def _lasts_until(self, due: Due) -> DueDate | None:
        """When the engine is due that something is about, where it is about just one."""
        alarm = due.notifications[0].content.get("alarm")
        serial = None if alarm is None else alarm["engine"]
        if serial is None or len(due.notifications) > 1 or due.receiver.kind != "apprise":
            return None
        with self._store.session() as session:
            row = find_row(session, None, serial)
        return None if row is None else due_date(row.life(self._now()), CONFIDENCE)

    def _give_back(self) -> None:
        try:
            end_lease(self._store, TASK, self._holder)
        except Exception as error:
            log.info("lease_not_given_back", task=TASK, error=str(error))


def _show(row: AlarmRow | WorkOrderRow) -> dict[str, object]:
    shown = Alarm.of(row) if isinstance(row, AlarmRow) else WorkOrder.of(row)
    return shown.model_dump(mode="json")
