"""First and last step of ingest: the MQTT connection that fills the inbox and publishes acks and status."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import aiomqtt
import structlog

from aggregator.ingest.acks import PendingAcks
from aggregator.ingest.broker_users import RESPONSE, BrokerUsers
from aggregator.ingest.desired import DesiredMessages
from aggregator.ingest.inbox import Inbox, Letter
from aggregator.ingest.orders import PendingOrders
from aggregator.ingest.status import IngestStatus
from aggregator.settings import BrokerSettings
from shared import cancellation, messages
from shared.backoff import full_jitter_s
from shared.errors import SpoolwatchError
from shared.messages import CentreStatus
from shared.topics import CENTRE, ROOT, Kind, centre_status, every_gateway

log = structlog.get_logger(__name__)

KEEPALIVE_S = 20
IDLE_S = 1.0
FAREWELL_S = 1.0
STEADY_S = 10.0  # a connection that lived shorter does not reset the backoff
PUBLISHES_AT_ONCE = 100
ORDERS_AT_ONCE = 10  # one after the other
DROPS_TOLD_S = 10.0
TOLD_AGAIN_S = 300.0  # by what time it is here, gateways see whether their clocks are right
SHARED_KINDS: tuple[Kind, ...] = ("records", "backfill", "reply")


class SubscriptionError(SpoolwatchError):
    """The broker does not let the aggregator read what it must read."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which aggregator this is, and which store it writes to."""

    replica: str
    store_epoch: str


class Connection:
    """Keeps one connection to the broker, with a new client each time, until cancelled."""

    def __init__(
        self,
        broker: BrokerSettings,
        identity: Identity,
        inbox: Inbox,
        pending: PendingAcks,
        orders: PendingOrders,
        desired: DesiredMessages,
        status: IngestStatus,
        changed: asyncio.Event,
        *,
        tls: Callable[[], ssl.SSLContext] | None = None,
        users: BrokerUsers | None = None,
    ) -> None:
        self._broker, self._identity = broker, identity
        self._inbox, self._pending, self._orders, self._desired = inbox, pending, orders, desired
        self._status, self._changed = status, changed
        self._tls, self._users = tls, users
        self._password = broker.password()
        self._told_drops, self._drops_due_at = 0, 0.0
        self.beat_at = 0.0

    async def run(self) -> None:
        """Connect, serve, and connect again with full-jitter backoff."""
        loop = asyncio.get_running_loop()
        attempt = 0
        while True:
            began_at = loop.time()
            try:
                async with self._client() as client:
                    await self._serve(client)
            except Exception as error:  # whatever it was, a new client may do better
                self._disconnected(error)
            if _is_cancelled():  # which an error of the dying client would hide
                raise asyncio.CancelledError
            attempt = 1 if loop.time() - began_at > STEADY_S else attempt + 1
            self._beat()
            await asyncio.sleep(full_jitter_s(attempt))

    async def _serve(self, client: aiomqtt.Client) -> None:
        client.pending_calls_threshold = PUBLISHES_AT_ONCE
        await self._subscribe(client)
        if _is_cancelled():  # which aiomqtt may have swallowed until here, see shared/cancellation.py
            raise asyncio.CancelledError
        self._connected()
        # No TaskGroup: before Python 3.13 it leaves its parent counted as cancelled when a child fails.
        loops = [_watch(client), self._publish(client), self._publish_desired(client)]
        if self._users is not None:
            loops.append(self._keep_users(client, self._users))
        tasks = [asyncio.create_task(loop) for loop in loops]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            await cancellation.end(*tasks)
            if _is_cancelled():
                with contextlib.suppress(aiomqtt.MqttError, TimeoutError):
                    async with asyncio.timeout(FAREWELL_S):
                        await self._announce(client, accepting=False)

    async def _subscribe(self, client: aiomqtt.Client) -> None:
        # The retained births come before the records that follow them.
        shared = (self._shared(every_gateway(kind)) for kind in SHARED_KINDS)
        control = () if self._users is None else (RESPONSE,)
        for topic in (*control, every_gateway("status"), *shared):
            codes = await client.subscribe(topic, qos=1)
            refused = [str(code) for code in codes if isinstance(code, int) or code.is_failure]
            if refused:
                raise SubscriptionError(
                    f"the broker refuses the subscription to {topic} ({refused[0]}); "
                    "check the access rules of this aggregator's user"
                )

    def _shared(self, topic: str) -> str:
        """Let each message go to one replica of the group; statuses go to all, because a share gets none retained."""
        group = self._broker.share_group
        return topic if group is None else f"$share/{group}/{topic}"

    async def _publish(self, client: aiomqtt.Client) -> None:
        announced: bool | None = None
        again_at_s = 0.0
        while True:
            self._changed.clear()
            accepting = self._status.accepting
            # To hold back is told before all else; to go on after the acks, for then what is unanswered comes again.
            # Unless nobody was told to hold back: acks may then come faster than they go out, for ever.
            is_news = accepting != announced and (announced is not False or self._pending.due_in_s() > 0)
            if is_news or (accepting == announced and time.monotonic() >= again_at_s):
                await self._announce(client, accepting=accepting)
                announced, again_at_s = accepting, time.monotonic() + TOLD_AGAIN_S
            await self._publish_acks(client)
            await self._publish_orders(client)
            self._tell_drops()
            self._beat()
            if announced == self._status.accepting and not len(self._orders):
                await self._wait(min(IDLE_S, self._pending.due_in_s()))

    async def _wait(self, timeout_s: float) -> None:
        """Wait until there may be more to publish, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, timeout_s)):
                await self._changed.wait()

    async def _publish_acks(self, client: aiomqtt.Client) -> None:
        acks = self._pending.take(PUBLISHES_AT_ONCE)
        await asyncio.gather(*(client.publish(str(topic), messages.encode(ack), qos=1) for topic, ack in acks))

    async def _publish_orders(self, client: aiomqtt.Client) -> None:
        for _ in range(ORDERS_AT_ONCE):
            if (command := self._orders.take()) is None:
                return
            topic, signed = self._orders.spell(command)
            try:
                await client.publish(str(topic), signed, qos=1)
            except BaseException:
                self._orders.put_back(command)
                raise

    async def _publish_desired(self, client: aiomqtt.Client) -> None:
        async def send(topic: str, payload: bytes) -> None:
            await client.publish(topic, payload, qos=1, retain=True)

        await self._desired.run(send)

    async def _keep_users(self, client: aiomqtt.Client, users: BrokerUsers) -> None:
        async def send(topic: str, payload: bytes) -> None:
            await client.publish(topic, payload, qos=1)

        await users.run(send)

    async def _announce(self, client: aiomqtt.Client, *, accepting: bool) -> None:
        topic = centre_status(self._identity.replica)
        await client.publish(topic, self._centre_status(accepting=accepting), qos=1, retain=True)

    def _centre_status(self, *, accepting: bool) -> bytes:
        return messages.encode(
            CentreStatus(
                replica=self._identity.replica,
                accepting=accepting,
                store_epoch=self._identity.store_epoch,
                sent_at=datetime.now(UTC),
            )
        )

    def _client(self) -> aiomqtt.Client:
        is_v5 = self._broker.kind == "external" and self._broker.mqtt_version == 5
        return aiomqtt.Client(
            self._broker.host,
            self._broker.tcp_port,
            identifier=f"spoolwatch-centre-{self._identity.replica}",
            username=self._broker.username,
            password=self._password,
            protocol=aiomqtt.ProtocolVersion.V5 if is_v5 else aiomqtt.ProtocolVersion.V311,
            clean_session=None if is_v5 else True,
            keepalive=KEEPALIVE_S,
            tls_context=None if self._tls is None else self._tls(),
            will=aiomqtt.Will(
                centre_status(self._identity.replica), self._centre_status(accepting=False), qos=1, retain=True
            ),
            queue_type=self._tap(),
        )

    def _tap(self) -> type[asyncio.Queue[aiomqtt.Message]]:
        """A queue that hands each message on at once; aiomqtt's own would cost a task per message."""
        receive = self._receive

        class Tap(asyncio.Queue[aiomqtt.Message]):
            def put_nowait(self, item: aiomqtt.Message) -> None:
                receive(item)

        return Tap

    def _receive(self, message: aiomqtt.Message) -> None:
        topic = str(message.topic)
        if topic.startswith(f"{ROOT}/{CENTRE}/"):  # the aggregators' own, matched by the filter for statuses
            return
        if self._users is not None and topic == RESPONSE:
            self._users.take(bytes(message.payload))
            return
        if not self._inbox.put(Letter(topic, message.payload, datetime.now(UTC))):
            self._status.dropped_messages += 1

    def _tell_drops(self) -> None:
        now, dropped = asyncio.get_running_loop().time(), self._status.dropped_messages
        if dropped > self._told_drops and now >= self._drops_due_at:
            reason = "more came in than the store could take"
            log.warning("messages_dropped", messages=dropped - self._told_drops, reason=reason)
            self._told_drops, self._drops_due_at = dropped, now + DROPS_TOLD_S

    def _connected(self) -> None:
        self._status.connected, self._status.since = True, datetime.now(UTC)
        log.info("broker_connected", host=self._broker.host, port=self._broker.tcp_port)

    def _disconnected(self, error: Exception) -> None:
        if self._status.connected or self._status.since is None:
            self._status.connected, self._status.since = False, datetime.now(UTC)
        log.warning("broker_disconnected", host=self._broker.host, port=self._broker.tcp_port, error=str(error))

    def _beat(self) -> None:
        self.beat_at = asyncio.get_running_loop().time()


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _watch(client: aiomqtt.Client) -> None:
    """Wait for the end of the connection; the tap leaves nothing to iterate over."""
    async for _ in client.messages:
        raise AssertionError("the tap hands messages on and keeps none")
