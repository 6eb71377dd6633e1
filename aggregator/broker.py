"""The broker for a first look: MQTT 3.1.1 inside of this process, on loopback; P1 holds on it as on any other."""

import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from amqtt.broker import Broker
from amqtt.errors import BrokerError
from amqtt.session import Session

from shared.errors import SpoolwatchError


class _Broker(Broker):  # type: ignore[misc]  # amqtt is untyped
    """Amqtt 0.12 sends a new client what is retained for anybody's filter, and fails while others subscribe."""

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        subscribers = self._subscriptions.get(subscription[0], [])
        if any(subscriber.client_id == session.client_id for subscriber, _ in subscribers):
            await super()._publish_retained_messages_for_subscription(subscription, session)


@asynccontextmanager
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
