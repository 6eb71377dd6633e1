"""The broker for a first look: MQTT 3.1.1 inside of this process, on loopback; P1 holds on it as on any other."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any, cast

from amqtt.broker import Broker
from amqtt.errors import BrokerError
from amqtt.session import Session

from shared.errors import SpoolwatchError

LEAVE_S = 1.0


class _Broker(Broker):  # type: ignore[misc]  # amqtt is untyped
    """Amqtt 0.12, put right in two things.

    It sends a new client what is retained for anybody's filter, and fails while others subscribe. And when it is shut
    down it leaves those connections open that are just being made or ended.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self._connections: set[asyncio.Task[None]] = set()

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        connection = cast("asyncio.Task[None]", asyncio.current_task())
        self._connections.add(connection)
        with contextlib.suppress(asyncio.CancelledError):  # which asyncio would log with its traceback
            try:
                await super().stream_connected(reader, writer, listener_name)
            finally:
                writer.close()
                self._connections.discard(connection)

    async def shutdown(self) -> None:
        await self._end_connections()  # on Python 3.12 and later the next line would wait for them
        await super().shutdown()
        await self._end_connections()

    async def _end_connections(self) -> None:
        left = list(self._connections)
        for connection in left:
            connection.cancel()
        if left:
            await asyncio.wait(left, timeout=LEAVE_S)

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        subscribers = self._subscriptions.get(subscription[0], [])
        if any(subscriber.client_id == session.client_id for subscriber, _ in subscribers):
            await super()._publish_retained_messages_for_subscription(subscription, session)


@contextlib.asynccontextmanager
async def embedded_broker(host: str, port: int) -> AsyncIterator[None]:
    """Run a broker that lets everyone on this machine in.

    Raises:
        SpoolwatchError: it cannot listen there.
    """
    for library in ("amqtt", "transitions"):
        logging.getLogger(library).setLevel(logging.WARNING)
    broker = _Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{host}:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    try:
        socket.create_server((host, port)).close()  # amqtt would log its own traceback
        await broker.start()
    except (BrokerError, OSError) as error:
        raise SpoolwatchError(
            f"the embedded broker cannot listen on {host}:{port} ({error}); "
            "if another broker runs there, use it with --broker.kind external, or choose another --broker.port"
        ) from error
    try:
        yield
    finally:
        await broker.shutdown()
