"""Middle step of ingest: takes what waits, commits it in a thread, and hands on the answers; retries an outage."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import structlog

from aggregator.ingest.acks import PendingAcks
from aggregator.ingest.inbox import Inbox, Letter
from aggregator.ingest.intake import arrive
from aggregator.ingest.orders import PendingOrders
from aggregator.ingest.status import IngestStatus
from aggregator.store.arrivals import Outcome
from aggregator.store.commit import commit
from aggregator.store.database import Store
from aggregator.store.quarantine_bound import QuarantineBound
from shared.backoff import full_jitter_s
from shared.topics import GatewayTopic

log = structlog.get_logger(__name__)

LINGER_S = 0.03
# A batch costs as much before its first record as some hundred records do, which a busy centre has no time for.
BUSY_MESSAGES = 50
BUSY_LINGER_S = 0.1
BATCH_MESSAGES = 2000
BATCH_BYTES = 2 * 1024 * 1024
IDLE_S = 1.0
RETRY_CAP_S = 5.0
WATCH_S = 0.5
SLOW_COMMIT_S = 5.0
# Gateways hold back while the inbox is fuller than this. Told to go on, they send again all that is unanswered, some of
# which waits in it: so it is nearly empty by then.
CROWDED = 0.75
DRAINED = 0.1
STRANGERS = 1000  # told of once each; beyond so many they are told of again


class Batches:
    """The loop from the inbox to the pending acks.

    Args:
        store: where batches are committed.
        bound: what keeps the quarantine in it from filling the disk.
        inbox: where they come from.
        pending: where their answers go.
        orders: where commands to gateways go.
        status: what this loop says of itself.
        changed: set whenever there is something to publish.
    """

    def __init__(
        self,
        store: Store,
        bound: QuarantineBound,
        inbox: Inbox,
        pending: PendingAcks,
        orders: PendingOrders,
        status: IngestStatus,
        changed: asyncio.Event,
    ) -> None:
        self._store, self._bound, self._inbox, self._pending, self._orders = store, bound, inbox, pending, orders
        self._status, self._changed = status, changed
        self.beat_at = 0.0
        self._strangers: set[GatewayTopic] = set()

    async def run(self) -> None:
        """Commit batch after batch until cancelled."""
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="commit")
        try:
            while True:
                self._beat()
                if await self._inbox.wait(IDLE_S):
                    await self._linger()
                    await self._commit(executor, self._inbox.take(BATCH_MESSAGES, BATCH_BYTES))
        finally:
            executor.shutdown(wait=False)

    def _is_full(self) -> bool:
        return self._inbox.holds(BATCH_MESSAGES, BATCH_BYTES)

    async def _linger(self) -> None:
        """Let more come together; on a busy centre, longer."""
        if not self._is_full():
            await asyncio.sleep(LINGER_S)
        if len(self._inbox) >= BUSY_MESSAGES and not self._is_full():
            await asyncio.sleep(BUSY_LINGER_S - LINGER_S)

    async def _commit(self, executor: ThreadPoolExecutor, letters: Sequence[Letter]) -> None:
        loop = asyncio.get_running_loop()
        attempt = 1
        while True:
            try:
                committing = loop.run_in_executor(executor, _decode_and_commit, self._store, letters)
                outcome = await self._watch(committing)
            except Exception as error:
                log.warning("commit_failed", error=str(error), waiting_messages=len(self._inbox))
                self._status.problem = f"the store takes no records: {error}"
                self._hold_back(self._status.problem)
                await asyncio.sleep(full_jitter_s(attempt, cap_s=RETRY_CAP_S))
                attempt += 1
                self._beat()
            else:
                self._answer(outcome)
                if outcome.quarantined_records:
                    self._status.given_up_messages += await loop.run_in_executor(executor, self._bound.keep)
                return

    async def _watch(self, committing: asyncio.Future[Outcome]) -> Outcome:
        """Wait for a commit; gateways hold back if it takes long, or if much comes in meanwhile."""
        slow_at = asyncio.get_running_loop().time() + SLOW_COMMIT_S
        try:
            while not committing.done():
                await asyncio.wait({committing}, timeout=WATCH_S)
                self._hold_back_if_crowded()
                if not committing.done() and asyncio.get_running_loop().time() >= slow_at:
                    self._hold_back(f"the store is slow: one commit takes longer than {SLOW_COMMIT_S:g} s")
        finally:
            committing.cancel()
        return committing.result()

    def _hold_back_if_crowded(self) -> None:
        if self._inbox.fill() > CROWDED:
            self._hold_back(f"more comes in than the store takes: {len(self._inbox)} messages wait")

    def _hold_back(self, problem: str) -> None:
        """Ask the gateways to wait; the first reason for it stays."""
        if self._status.accepting:
            self._status.accepting, self._status.problem = False, problem
            log.warning("not_accepting", problem=problem)
            self._changed.set()

    def _accept_again(self) -> None:
        if not self._status.accepting and self._inbox.fill() <= DRAINED:
            self._status.accepting, self._status.problem = True, None
            log.info("accepting_again")

    def _answer(self, outcome: Outcome) -> None:
        status = self._status
        status.committed_records += outcome.committed_records
        status.duplicate_records += outcome.duplicate_records
        status.quarantined_records += outcome.quarantined_records
        status.unusable_messages += outcome.unusable_messages
        status.last_commit_at = datetime.now(UTC)
        self._accept_again()
        self._pending.add(outcome)
        self._orders.add(outcome)
        self._changed.set()
        self._tell(outcome)
        log.debug(
            "batch_committed",
            records=outcome.committed_records,
            duplicates=outcome.duplicate_records,
            quarantined=outcome.quarantined_records,
        )

    def _tell(self, outcome: Outcome) -> None:
        if outcome.quarantined_records:
            log.info("records_quarantined", records=outcome.quarantined_records, first_reason=outcome.first_reason)
        for topic in outcome.strangers - self._strangers:
            log.warning("status_of_unknown_gateway", site=topic.site, gateway=topic.gateway)
        self._strangers = self._strangers | outcome.strangers if len(self._strangers) < STRANGERS else outcome.strangers

    def _beat(self) -> None:
        self.beat_at = asyncio.get_running_loop().time()


def _decode_and_commit(store: Store, letters: Sequence[Letter]) -> Outcome:
    return commit(store, [arrive(one.topic, one.payload, one.received_at) for one in letters])
