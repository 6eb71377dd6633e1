"""Keeps the store in order while it is served: partitions made ahead, old commands forgotten, old records pruned.

Lives that have ended are scored anew where predictions have come late. Each of several aggregators has such a loop;
which one prunes is decided by a lease in the store, and to score twice does no harm.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event
from uuid import uuid4

import structlog

from aggregator.store.commands import forget_old
from aggregator.store.database import Store
from aggregator.store.outcomes import score_late
from aggregator.store.partitions import make_partitions
from aggregator.store.retention import Retention, prune
from shared.errors import SpoolwatchError

INTERVAL_S = 3600.0

log = structlog.get_logger(__name__)


class Upkeep:
    """The loop of one aggregator."""

    def __init__(
        self, store: Store, retention: Retention, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._store, self._retention, self._now = store, retention, now
        self._holder = str(uuid4())
        self._stop = Event()

    async def run(self) -> None:
        """Run until cancelled; a transaction that has begun is ended first."""
        while True:
            work = asyncio.create_task(asyncio.to_thread(self.keep_up))
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                self._stop.set()
                await work
                raise
            await asyncio.sleep(INTERVAL_S)

    def keep_up(self) -> None:
        """Do what is due; what fails is tried again an hour later."""
        try:
            make_partitions(self._store, self._now())
            forget_old(self._store, self._now())
            scored = score_late(self._store, self._now())
            if scored:
                log.info("lives_scored_anew", lives=scored)
            if self._retention.cutoffs(self._now()):
                prune(self._store, self._retention, self._holder, self._now, self._stop)
        except SpoolwatchError as error:
            log.info("upkeep_postponed", reason=str(error))
        except Exception as error:  # a database that is busy or gone: ingest says so, and the API stays up
            log.warning("upkeep_failed", error=str(error), again_in_s=INTERVAL_S)
