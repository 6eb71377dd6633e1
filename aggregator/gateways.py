"""Asks gateways for things, and waits for what they answer, whichever aggregator hears it: the store tells."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from aggregator.access.roles import Caller
from aggregator.fleet.liveness import LinkState, liveness_of
from aggregator.ingest.status import IngestStatus
from aggregator.store.arrivals import Outcome
from aggregator.store.commands import find_commands, issue, state_of
from aggregator.store.database import Store
from aggregator.store.reads import DatabaseError
from aggregator.store.reads.fleet import signs_of
from aggregator.store.tables import Engine, Gateway, GatewayCommand
from shared.errors import SpoolwatchError
from shared.messages import Command, Order

LASTS = timedelta(seconds=60)  # a gateway with a slow link still gets it in time, and nobody is surprised much later
LOOK_INTERVAL_S = 0.1

log = structlog.get_logger(__name__)


class UnreachableError(SpoolwatchError):
    """A gateway cannot be asked now, and why not; commands are not kept for later."""


class Orders(Protocol):
    """What publishes commands; from any thread."""

    def issue(self, command: Command) -> None:
        """Publish a command."""

    def add(self, outcome: Outcome) -> None:
        """Publish what a committed batch asks of gateways."""


class Gateways:
    """The way to the gateways; of one event loop.

    Args:
        store: where commands and their answers are kept.
        ingest: whether the broker is connected.
        orders: publishes them; None where nothing does.
        now: the clock, aware UTC.
    """

    def __init__(self, store: Store, ingest: IngestStatus, orders: Orders | None, now: Callable[[], datetime]) -> None:
        self._store, self._ingest, self._orders, self._now = store, ingest, orders, now
        self._waited: dict[str, asyncio.Future[GatewayCommand]] = {}
        self._looking: asyncio.Task[None] | None = None

    def why_unreachable(self, gateway: Gateway, last_record_at: datetime | None) -> str | None:
        """Why a gateway cannot be asked; None where it can."""
        if self._orders is None or not self._ingest.connected:
            return "the centre has no connection to the broker now"
        judged = liveness_of(signs_of(gateway, last_record_at), self._now())
        if judged.state is LinkState.ONLINE:
            return None
        return f"gateway {gateway.name} is {judged.state.value.replace('_', ' ')}: {judged.reason}"

    def send(self, gateway: Gateway, order: Order, *, engine: Engine | None = None, by: Caller) -> str:
        """Send a command, which is good for ``LASTS``; from any thread. Returns its id.

        Raises:
            UnreachableError: there is no connection to the broker.
        """
        if self._orders is None:
            raise UnreachableError("the centre has no connection to the broker now")
        now = self._now()
        command = issue(self._store, gateway, order, now, now + LASTS, engine=engine, by=by)
        self._orders.issue(command)
        return command.command_id

    def follow(self, outcome: Outcome) -> None:
        """See to what a batch asks of gateways that was committed beside ingest; from any thread."""
        if self._orders is not None:
            self._orders.add(outcome)

    async def wait(self, command_id: str, wait_s: float) -> GatewayCommand | None:
        """Wait for the answer to a command, at most so long; None where there is none by then."""
        answer = self._waited.setdefault(command_id, asyncio.get_running_loop().create_future())
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            async with asyncio.timeout(wait_s):
                return await asyncio.shield(answer)
        except TimeoutError:
            return None
        finally:
            self._waited.pop(command_id, None)

    async def _look(self) -> None:
        """Look for all answers that are waited for at once, as long as any is."""
        while self._waited:
            try:
                for command in await asyncio.to_thread(self._read, list(self._waited)):
                    answer = self._waited.get(command.id)
                    if answer is not None and not answer.done() and state_of(command, self._now()) != "waiting":
                        answer.set_result(command)
            except DatabaseError as error:
                log.warning("answers_not_read", error=str(error))
            await asyncio.sleep(LOOK_INTERVAL_S)

    def _read(self, ids: list[str]) -> list[GatewayCommand]:
        with self._store.session() as session:
            return list(find_commands(session, ids))
