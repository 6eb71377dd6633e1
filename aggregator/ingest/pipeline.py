"""Ingest as a whole: broker → inbox → batches → store → acks → broker."""

import asyncio
import ssl
from collections.abc import Callable

from aggregator.ingest.acks import PendingAcks
from aggregator.ingest.batches import Batches
from aggregator.ingest.broker_users import BrokerUsers
from aggregator.ingest.connection import Connection, Identity
from aggregator.ingest.desired import DesiredMessages
from aggregator.ingest.inbox import Inbox
from aggregator.ingest.orders import PendingOrders
from aggregator.ingest.status import IngestStatus
from aggregator.settings import BrokerSettings
from aggregator.signing import CommandKey
from aggregator.store.database import Store
from aggregator.store.quarantine_bound import QuarantineBound


class Ingest:
    """Takes records from the broker into the store, and sends ``orders``; ``status`` says how it is doing.

    With ``tls``, which is called for each connection, the broker is spoken to through TLS.
    """

    def __init__(
        self,
        store: Store,
        broker: BrokerSettings,
        identity: Identity,
        key: CommandKey,
        bound: QuarantineBound,
        *,
        inbox: Inbox | None = None,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self.status = IngestStatus()
        inbox, changed = Inbox() if inbox is None else inbox, asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = changed
        pending, self.orders = PendingAcks(), PendingOrders(key, self._wake)
        self._batches = Batches(store, bound, inbox, pending, self.orders, self.status, changed)
        desired = DesiredMessages(store, identity.store_epoch, key)
        users = BrokerUsers(store) if broker.dynamic_security else None
        self._connection = Connection(
            *(broker, identity, inbox, pending, self.orders, desired, self.status, changed), tls=tls, users=users
        )

    async def run(self) -> None:
        """Run until cancelled; the last thing it does is to say that it no longer accepts."""
        self._loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._batches.run())
            tasks.create_task(self._connection.run())

    def oldest_beat(self) -> float:
        """When the slower of both loops last made progress, by the event loop's clock."""
        return min(self._batches.beat_at, self._connection.beat_at)

    def _wake(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._changed.set)
