"""Watches for what no record tells of: what is silent, late, due or piles up, and alarms that nobody acknowledges.

Each of several aggregators has such a loop; the one that holds the lease looks, and another takes over within a minute.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import structlog

from aggregator.store.absence import look_at_engines, look_at_gateways
from aggregator.store.database import Store
from aggregator.store.escalation import escalate
from aggregator.store.lease import end_lease, take_lease

INTERVAL_S = 10.0
ENGINES = timedelta(seconds=60)  # of them there are thousands, and they are late or due by days
LEASE = timedelta(seconds=60)
TASK = "alarms"

log = structlog.get_logger(__name__)


class AlarmWatch:
    """The loop of one aggregator."""

    def __init__(self, store: Store, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store, self._now = store, now
        self._holder = str(uuid4())
        self._engines_at: datetime | None = None

    async def run(self) -> None:
        """Run until cancelled; a look that has begun is ended first, and the lease given back."""
        while True:
            work = asyncio.create_task(asyncio.to_thread(self.look))
            try:
                await asyncio.shield(work)
                await asyncio.sleep(INTERVAL_S)
            except asyncio.CancelledError:
                await work
                await asyncio.to_thread(self._give_back)
                raise

    def look(self) -> None:
        """Look once, if it is ours to look; what fails is tried again with the next look."""
        try:
            now = self._now()
            if not take_lease(self._store, TASK, self._holder, now, LEASE):
                return
            turned = look_at_gateways(self._store, now)
            if self._engines_at is None or now - self._engines_at >= ENGINES:
                turned += look_at_engines(self._store, now)
                self._engines_at = now
            if turned:
                log.info("alarms_turned", alarms=turned)
            escalated = escalate(self._store, now)
            if escalated:
                log.info("alarms_escalated", alarms=escalated)
        except Exception as error:  # a database that is busy or gone: ingest says so, and the API stays up
            log.warning("alarms_not_looked_at", error=str(error), again_in_s=INTERVAL_S)

    def _give_back(self) -> None:
        try:
            end_lease(self._store, TASK, self._holder)
        except Exception as error:
            log.info("lease_not_given_back", task=TASK, error=str(error))
