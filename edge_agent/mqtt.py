"""The agent's only user of the MQTT library: one connection at a time, its events handed to the asyncio loop.

Each connection is a new paho client: one that connects again by itself would first repeat, from its own memory, what
it had in flight, and delivery decides that. Its callbacks run in paho's network thread and only pass events on.
"""

import asyncio
import contextlib
import os
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_agent.reconnect import Ended, Reconnects
from shared.errors import SettingsError
from shared.tls import Tls

SETUP_TIMEOUT_S = 15.0
FAREWELL_TIMEOUT_S = 1.0
SESSION_EXPIRY_S = 7 * 24 * 3600
RECEIVE_MAXIMUM = 256
# What MQTT can express; brokers that name no limit have this one.
PACKET_MAX_BYTES = 5 + 268_435_455
# A gateway's status and a record of some dozens of channels fit; below that nothing would ever be delivered.
PACKET_NEEDED_BYTES = 4096
_PUBLISH_HEADER_BYTES = 10
SESSION_TAKEN_OVER = 0x8E


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker has accepted the connection and every subscription; it takes packets of at most this size."""

    max_packet_bytes: int = PACKET_MAX_BYTES


@dataclass(frozen=True, slots=True)
class Disconnected:
    """There is no usable connection; the reason is for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class Received:
    """A message; ``receipt`` acknowledges it to the broker where that is not automatic, on its own connection only."""

    topic: str
    payload: bytes
    retained: bool
    receipt: "tuple[_Connection, int, int] | None" = None


LinkEvent = Connected | Disconnected | Received
Publication = paho.MQTTMessageInfo


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish with QoS 1."""

    topic: str
    payload: bytes
    retain: bool = False

    def is_within(self, max_packet_bytes: int) -> bool:
        """Whether a broker that takes packets of at most this size takes the message."""
        return len(self.payload) <= max_payload_bytes(self.topic, max_packet_bytes)


def max_payload_bytes(topic: str, max_packet_bytes: int) -> int:
    """The largest payload that fits into one packet under this topic."""
    return max_packet_bytes - _PUBLISH_HEADER_BYTES - len(topic.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOptions:
    """How to connect.

    Attributes:
        host: broker address.
        port: broker port.
        client_id: MQTT client identifier.
        version: 3 for MQTT 3.1.1, or 5.
        keepalive_s: MQTT keep-alive in seconds.
        username: user name, or None for an anonymous connection.
        password: password of that user.
        subscriptions: topic filters, QoS 1, asked for anew on every connection.
        tls: how the connection is encrypted, or None.
        websocket_path: path of the broker's URL where MQTT travels over websockets, or None.
        manual_ack: received messages are acknowledged by ``acknowledge`` only, in a session that outlives us.
    """

    host: str
    port: int
    client_id: str
    version: int = 5
    keepalive_s: int = 20
    username: str | None = None
    password: str | None = None
    tls: Tls | None = None
    websocket_path: str | None = None
    subscriptions: Sequence[str] = ()
    manual_ack: bool = False


class MqttLink:
    """One client of a broker that connects again and again until it is closed; made and used on the asyncio loop.

    Attributes:
        events: what happened to it, in order.
        sent_bytes: topics and payloads handed to the broker so far.
        received_bytes: those that came.

    Args:
        options: how to connect.
        will: what the broker says for us when it loses us.
        reconnects: decides how long to wait between two connections.
    """

    def __init__(
        self, options: LinkOptions, *, will: Outgoing | None = None, reconnects: Reconnects | None = None
    ) -> None:
        self.events: asyncio.Queue[LinkEvent] = asyncio.Queue()
        self.sent_bytes = self.received_bytes = 0
        self._options = options
        self._will = will
        self._reconnects = reconnects or Reconnects(options.client_id)
        self._connection = self._new_connection()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Start connecting; the outcome comes as an event."""
        self._task = asyncio.create_task(self._keep_connected())

    async def close(self) -> None:
        """Disconnect cleanly, so that the broker discards the last will."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def publish(self, message: Outgoing) -> Publication:
        """Hand a message to the network thread; it dies with the connection."""
        self.sent_bytes += len(message.topic) + len(message.payload)
        return self._connection.client.publish(message.topic, message.payload, qos=1, retain=message.retain)

    def acknowledge(self, received: Received) -> None:
        """Tell the broker that it may forget a message (only with ``manual_ack``).

        One of a lost connection comes again: there, its number may stand for another message by now.
        """
        if received.receipt is not None:
            connection, mid, qos = received.receipt
            if connection is self._connection:
                connection.client.ack(mid, qos)

    def reconnect(self, reason: str) -> None:
        """Give the present connection up and make another."""
        self._connection.end(Ended(reason))

    async def _keep_connected(self) -> None:
        while True:
            ended = await self._connection.run()
            reason, delay_s = self._reconnects.after(ended, lived_s=self._connection.lived_s)
            self.events.put_nowait(Disconnected(reason))
            await asyncio.sleep(delay_s)
            self._connection = self._new_connection()

    def _new_connection(self) -> "_Connection":
        return _Connection(self._options, self._will, self._take)

    def _take(self, event: LinkEvent) -> None:
        if isinstance(event, Received):
            self.received_bytes += len(event.topic) + len(event.payload)
        self.events.put_nowait(event)


class _Connection:
    """One connection from its first packet to its last."""

    def __init__(self, options: LinkOptions, will: Outgoing | None, emit: Callable[[LinkEvent], None]) -> None:
        self.client = _client(options, will)
        self._options = options
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._usable_at_s: float | None = None
        self._max_packet_bytes = PACKET_MAX_BYTES
        self._usable: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[Ended] = self._loop.create_future()
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = self._on_subscribe
        self.client.on_disconnect = self._on_disconnect
        self.client.on_connect_fail = self._on_connect_fail
        self.client.on_message = self._on_message

    @property
    def lived_s(self) -> float:
        """For how long it has been usable."""
        return 0.0 if self._usable_at_s is None else self._loop.time() - self._usable_at_s

    async def run(self) -> Ended:
        """Connect, and tell at its end why it ended."""
        try:
            self._open()
            outcomes: set[asyncio.Future[Any]] = {self._usable, self._ended}
            opened, _ = await asyncio.wait(outcomes, timeout=SETUP_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            if not opened:
                self.end(Ended(f"{self._address} does not finish connecting: {self._likely_cause}"))
            return await self._ended
        except SettingsError as error:  # files that somebody may put right while we run
            return Ended(str(error))
        finally:
            await self._stop()

    def end(self, ended: Ended) -> None:
        """Let it end; the first reason counts."""
        if not self._ended.done():
            self._ended.set_result(ended)

    @property
    def _address(self) -> str:
        return f"{self._options.host}:{self._options.port}"

    @property
    def _likely_cause(self) -> str:
        if self._options.version == 5:
            return "if it speaks MQTT 3.1.1 only, as the aggregator's embedded broker does, set mqtt_version = 3"
        return "is that an MQTT broker?"

    def _open(self) -> None:
        options = self._options
        if options.tls is not None:
            self.client.tls_set_context(options.tls.context())
        if options.version == 5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
            if options.manual_ack:
                properties.SessionExpiryInterval = SESSION_EXPIRY_S
                properties.ReceiveMaximum = RECEIVE_MAXIMUM
            self.client.connect_async(
                options.host,
                options.port,
                options.keepalive_s,
                clean_start=not options.manual_ack,
                properties=properties,
            )
        else:
            self.client.connect_async(options.host, options.port, options.keepalive_s)
        self.client.loop_start()

    async def _stop(self) -> None:
        """Say goodbye; where that does not get through soon, cut the line, so that the network thread ends."""
        self.client.disconnect()
        stopped = asyncio.create_task(asyncio.to_thread(self.client.loop_stop))
        await asyncio.wait({stopped}, timeout=FAREWELL_TIMEOUT_S)
        line = self.client.socket()
        if isinstance(line, socket.socket) and not stopped.done():
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        await stopped

    def _tell(self, callback: Callable[..., None], *arguments: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _become_usable(self) -> None:
        if not self._ended.done():
            self._usable_at_s = self._loop.time()
            self._usable.set_result(None)
            self._emit(Connected(self._max_packet_bytes))

    def _on_connect(
        self, client: paho.Client, _userdata: object, _flags: object, reason: ReasonCode, properties: Properties | None
    ) -> None:
        # paho gives MQTT 5 properties as attributes, and only those that came.
        self._max_packet_bytes = getattr(properties, "MaximumPacketSize", PACKET_MAX_BYTES)
        if reason.is_failure:
            self._tell(self.end, Ended(f"the broker refused the connection: {reason}"))
        elif self._max_packet_bytes < PACKET_NEEDED_BYTES:
            self._tell(self.end, Ended(_too_small(self._max_packet_bytes)))
        elif self._options.subscriptions:
            client.subscribe([(topic, 1) for topic in self._options.subscriptions])
        else:
            self._tell(self._become_usable)

    def _on_subscribe(
        self, _client: paho.Client, _userdata: object, _mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        refused = [
            f"{topic} ({reason})"
            for topic, reason in zip(self._options.subscriptions, reasons, strict=True)
            if reason.is_failure
        ]
        if refused:
            self._tell(self.end, Ended(f"the broker refused the subscription to {', '.join(refused)}"))
        else:
            self._tell(self._become_usable)

    def _on_disconnect(
        self, _client: paho.Client, _userdata: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        self._tell(self.end, Ended(f"connection closed: {reason}", taken_over=reason.value == SESSION_TAKEN_OVER))

    def _on_connect_fail(self, client: paho.Client, _userdata: object) -> None:
        error = sys.exception()  # paho calls this where it has caught it, and tells it nobody else
        client.disconnect()  # or paho would try again by itself
        if isinstance(error, ssl.SSLError):
            reason = f"no TLS with {self._address}: {getattr(error, 'verify_message', '') or error.reason or error}"
        else:
            reason = f"nobody answers at {self._address}; trying again"
        self._tell(self.end, Ended(reason))

    def _on_message(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        receipt = (self, message.mid, message.qos)
        self._tell(self._emit, Received(message.topic, bytes(message.payload), message.retain, receipt))


def _too_small(max_packet_bytes: int) -> str:
    return (
        f"the broker takes packets of {max_packet_bytes} bytes at most, and a gateway needs {PACKET_NEEDED_BYTES}; "
        "raise its limit (Mosquitto: max_packet_size)"
    )


def _client(options: LinkOptions, will: Outgoing | None) -> paho.Client:
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=options.client_id,
        clean_session=None if options.version == 5 else not options.manual_ack,
        protocol=paho.MQTTv5 if options.version == 5 else paho.MQTTv311,
        transport="tcp" if options.websocket_path is None else "websockets",
        reconnect_on_failure=False,
        manual_ack=options.manual_ack,
    )
    if options.websocket_path is not None:
        client.ws_set_options(options.websocket_path)
    if options.username is not None:
        client.username_pw_set(options.username, options.password)
    if will is not None:
        client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
    client.on_socket_open = _send_at_once
    return client


def _send_at_once(_client: paho.Client, _userdata: object, line: "paho.SocketLike") -> None:
    """Small packets must not wait for the answer to the one before (Nagle), which comes up to 40 ms late."""
    # By its number: paho's websockets are no sockets.
    with socket.socket(fileno=os.dup(line.fileno())) as same:
        same.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
