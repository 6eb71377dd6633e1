"""Samples from the nodes of an OPC UA server, subscribed to or polled, dated by the server's source timestamps.

A subscription tells what has a new timestamp: what it does not tell is as it was. So each sample carries all channels
that the server has told since we are connected, and there is one sample per source timestamp.
"""

import asyncio
import contextlib
import logging
import math
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import NamedTuple

from asyncua import Client, Node, ua
from asyncua.client.ua_client import UaClientState
from asyncua.common.subscription import DataChangeEvent, Subscription
from asyncua.crypto import security_policies, uacrypto
from cryptography import x509

from edge_agent.opcua_settings import OpcUaSource
from edge_agent.ports import Batch
from shared.errors import SourceError
from shared.rows import Sample

IDLE_S = 0.5
KEEP_ALIVE_S = 5.0
# What a lost connection leaves at the server goes soon: some take ten clients and no more.
FORGOTTEN_S = 60
# The library's queue gives nothing at once, even what waits in it.
MORE_S = 0.005
CHANGES_AT_ONCE = 10_000
CHANGES_WAITING = 100_000
# Of each node, for as long as a publishing interval may be delayed.
CHANGES_PER_NODE = 100
NAMED = 3
_NOT_GIVEN = (
    ua.StatusCodes.BadNodeIdUnknown,
    ua.StatusCodes.BadNodeIdInvalid,
    ua.StatusCodes.BadMonitoredItemFilterUnsupported,
    ua.StatusCodes.BadFilterNotAllowed,
)
_CYCLE = ""

logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # what fails is told by the pipeline, with its reason


class Change(NamedTuple):
    """A new value of one channel of one engine; the empty channel is the cycle counter."""

    engine: str
    channel: str
    at: datetime
    value: float


class Moments:
    """Makes samples of changes: all changes of one engine under one timestamp are one sample.

    What came last of an engine waits until something newer comes, or nothing: one moment may be told in two parts.
    """

    def __init__(self) -> None:
        self._values: dict[str, dict[str, float]] = defaultdict(dict)
        self._open: dict[str, tuple[datetime, dict[str, float]]] = {}

    def take(self, changes: Iterable[Change]) -> list[Sample]:
        """Take changes; gives the samples that are complete."""
        samples: list[Sample] = []
        for change in sorted(changes, key=lambda change: change.at):
            at, changed = self._open.get(change.engine, (change.at, {}))
            if at != change.at:
                samples += self._close(change.engine)
                changed = {}
            changed[change.channel] = change.value
            self._open[change.engine] = change.at, changed
        return samples

    def close(self) -> list[Sample]:
        """Nothing more comes of what is open; gives it."""
        return [sample for engine in list(self._open) for sample in self._close(engine)]

    def _close(self, engine: str) -> list[Sample]:
        at, changed = self._open.pop(engine)
        values = self._values[engine]
        values.update(changed)
        if changed.keys() == {_CYCLE}:
            return []
        cycle = values.get(_CYCLE, math.nan)
        channels = {name: value for name, value in values.items() if name != _CYCLE}
        raw = f"{engine} {at.isoformat()} {values}".encode()
        return [Sample(engine, at, channels, None if math.isnan(cycle) else round(cycle), raw)]


class OpcUaNodes:
    """Reads the nodes of every engine from one server.

    Args:
        settings: the server, how it is trusted, and the nodes.
        engines: serial per unit number.
        now: the clock that dates what the server does not.
    """

    kind = "opcua"

    def __init__(self, settings: OpcUaSource, engines: Mapping[int, str], now: Callable[[], datetime]) -> None:
        self._settings = settings
        self._engines = engines
        self._now = now

    async def batches(self, cursor: str | None) -> AsyncGenerator[Batch, None]:
        """See ``SensorSource.batches``; nodes hold only the present, so there is no cursor."""
        async with self._connected() as client:
            with self._told():
                nodes = self._nodes(client, await client.get_namespace_array())
            read = self._published if self._settings.mode == "subscription" else self._polled
            async for batch in read(client, nodes):
                yield batch

    def accepted(self, batch: Batch) -> None:
        """Nodes cannot wait for us; there is nothing to acknowledge."""

    def _nodes(self, client: Client, namespaces: Sequence[str]) -> dict[Node, tuple[str, str]]:
        """Engine and channel by node."""
        names = dict(self._settings.nodes.channels)
        if self._settings.nodes.cycle is not None:
            names[_CYCLE] = self._settings.nodes.cycle
        return {
            client.get_node(self._node_id(template.format(engine=serial, unit=unit), namespaces)): (serial, name)
            for unit, serial in self._engines.items()
            for name, template in names.items()
        }

    def _node_id(self, written: str, namespaces: Sequence[str]) -> ua.NodeId:
        """A node id with the index of its namespace, where it is written with the URI."""
        node_id = ua.NodeId.from_string(written)
        uri = node_id.NamespaceUri if isinstance(node_id, ua.ExpandedNodeId) else None
        if uri is None:
            return node_id
        if uri not in namespaces:
            raise SourceError(f"{self._settings.url} has no namespace {uri}; it has {', '.join(namespaces)}")
        return ua.NodeId(node_id.Identifier, namespaces.index(uri), node_id.NodeIdType)

    async def _polled(self, client: Client, nodes: Mapping[Node, tuple[str, str]]) -> AsyncGenerator[Batch, None]:
        clock = asyncio.get_running_loop().time
        seen: dict[Node, datetime | None] = {}
        moments = Moments()
        due_s = clock()
        while True:
            with self._told():
                values = await client.read_attributes(nodes)
            told = dict(zip(nodes, values, strict=True))
            if not seen:
                self._check_all_are_there((node, value.StatusCode) for node, value in told.items())
            # A server that dates nothing is taken to give a new value each time.
            fresh = {
                node: value
                for node, value in told.items()
                if value.SourceTimestamp is None or seen.get(node) != value.SourceTimestamp
            }
            seen = {node: value.SourceTimestamp for node, value in told.items()}
            now = self._now()
            samples = moments.take(_change(*nodes[node], value, now) for node, value in fresh.items())
            yield Batch([*samples, *([] if fresh else moments.close())])
            due_s = max(due_s + self._settings.interval_s, clock())
            while due_s - clock() > IDLE_S:
                await asyncio.sleep(IDLE_S)
                yield Batch()
            await asyncio.sleep(max(0.0, due_s - clock()))

    async def _published(self, client: Client, nodes: Mapping[Node, tuple[str, str]]) -> AsyncGenerator[Batch, None]:
        with self._told():
            subscription = await client.create_subscription(
                _publishing(self._settings.interval_s), queue_maxsize=CHANGES_WAITING
            )
            sampling_ms = 1000 * self._settings.sampling_interval_s
            made = await subscription.create_monitored_items(
                [_watched(node, handle, sampling_ms) for handle, node in enumerate(nodes, start=1)]
            )
            self._check_all_are_there(zip(nodes, made, strict=True))
        moments = Moments()
        clock = asyncio.get_running_loop().time
        changed_s = clock()
        while client.state is UaClientState.CONNECTED:
            now = self._now()
            changes = [
                _change(*nodes[event.node], event.data.monitored_item.Value, now)
                for event in await _waiting(subscription)
                if isinstance(event, DataChangeEvent)
            ]
            changed_s = clock() if changes else changed_s
            quiet = clock() - changed_s > self._settings.interval_s + IDLE_S
            if client.state is UaClientState.CONNECTED or changes:
                yield Batch([*moments.take(changes), *(moments.close() if quiet else [])])
        if rest := moments.close():
            yield Batch([*rest])
        raise SourceError(f"{self._settings.url}: the connection is lost")

    def _check_all_are_there(self, told: Iterable[tuple[Node, object]]) -> None:
        wrong = [
            f"{node} ({status.name})"
            for node, status in told
            if isinstance(status, ua.StatusCode) and status.value in _NOT_GIVEN
        ]
        if wrong:
            raise SourceError(
                f"{self._settings.url} does not give {', '.join(wrong[:NAMED])}: is source.nodes right? A server that "
                "does not take the filter may do with source.mode = poll"
            )

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Client]:
        """A new client per connection: one that has lost its connection may never come back from another attempt."""
        settings = self._settings
        client = Client(settings.url, timeout=settings.timeout_s, watchdog_intervall=settings.timeout_s)
        client.name = client.description = "Spoolwatch agent"
        client.session_timeout = 1000 * FORGOTTEN_S
        try:
            with self._told():
                async with asyncio.timeout(2 * settings.timeout_s):
                    await self._identify(client)
                    await client.connect()
            yield client
        finally:
            await _disconnected(client, settings.timeout_s)

    async def _identify(self, client: Client) -> None:
        settings = self._settings
        if settings.username is not None:
            client.set_user(settings.username)
        if settings.password_file is not None:
            client.set_password(settings.password_file.read_text(encoding="utf-8").strip())
        if settings.is_secure and settings.certificate and settings.private_key and settings.server_certificate:
            # A server believes in a certificate only if its owner says the same of himself.
            certificate = await uacrypto.load_certificate(settings.certificate)
            client.application_uri = _application_uri(certificate) or client.application_uri
            await client.set_security(
                getattr(security_policies, f"SecurityPolicy{settings.security}"),
                settings.certificate,
                settings.private_key,
                server_certificate=str(settings.server_certificate),
            )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Whatever a server can do wrong becomes a ``SourceError``."""
        try:
            yield
        except TimeoutError as error:
            raise SourceError(f"{self._settings.url} does not answer within {self._settings.timeout_s:g} s") from error
        except (ua.UaError, OSError, ValueError) as error:
            raise SourceError(f"{self._settings.url}: {error or type(error).__name__}") from error
        except asyncio.CancelledError as error:
            # The library cancels its own requests when it loses the connection, and so whoever waits for them.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise SourceError(f"{self._settings.url}: the connection is lost") from error


def _change(engine: str, channel: str, told: ua.DataValue, now: datetime) -> Change:
    """What a node says; NaN unless the server calls it good."""
    at = told.SourceTimestamp or now
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    value = math.nan
    if (told.StatusCode is None or told.StatusCode.is_good()) and told.Value is not None:
        with contextlib.suppress(TypeError, ValueError):  # text or an array is no value
            value = float(told.Value.Value)
    return Change(engine, channel, at, value if math.isfinite(value) else math.nan)


def _publishing(interval_s: float) -> ua.CreateSubscriptionParameters:
    keep_alive = max(1, round(KEEP_ALIVE_S / interval_s))
    return ua.CreateSubscriptionParameters(
        RequestedPublishingInterval=1000 * interval_s,
        RequestedLifetimeCount=max(3 * keep_alive, round(FORGOTTEN_S / interval_s)),
        RequestedMaxKeepAliveCount=keep_alive,
        MaxNotificationsPerPublish=CHANGES_AT_ONCE,
        PublishingEnabled=True,
        Priority=0,
    )


def _watched(node: Node, handle: int, sampling_ms: float) -> ua.MonitoredItemCreateRequest:
    """Have a node told with each new timestamp: the same value again is one more sample, of which a median is made."""
    return ua.MonitoredItemCreateRequest(
        ItemToMonitor=ua.ReadValueId(NodeId=node.nodeid, AttributeId=ua.AttributeIds.Value),
        MonitoringMode=ua.MonitoringMode.Reporting,
        RequestedParameters=ua.MonitoringParameters(
            ClientHandle=handle,
            SamplingInterval=sampling_ms,
            Filter=ua.DataChangeFilter(Trigger=ua.DataChangeTrigger.StatusValueTimestamp),
            QueueSize=CHANGES_PER_NODE,
            DiscardOldest=True,
        ),
    )


def _application_uri(certificate: x509.Certificate) -> str | None:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    return next(iter(names.get_values_for_type(x509.UniformResourceIdentifier)), None)


async def _waiting(subscription: Subscription) -> list[object]:
    """What the server has published: at least one change, unless none comes for a moment."""
    events: list[object] = []
    timeout_s = IDLE_S
    while len(events) < CHANGES_AT_ONCE and (event := await subscription.next_event(timeout_s)) is not None:
        events.append(event)
        timeout_s = MORE_S
    return events


async def _disconnected(client: Client, timeout_s: float) -> None:
    with contextlib.suppress(Exception):
        async with asyncio.timeout(timeout_s):
            await client.disconnect()
    client.disconnect_socket()
