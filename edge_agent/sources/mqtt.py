"""Rows as JSON from a topic of a local MQTT broker, acknowledged to it only once they are durable.

One message is one row::

    {"engine": "E-01", "cycle": 12, "observed_at": "2026-01-31T08:00:00Z", "channels": {"T24": 642.1, "T30": null}}
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Collection
from typing import Annotated

import msgspec
from msgspec import Meta

from edge_agent.mqtt import Connected, Disconnected, LinkOptions, MqttLink, Received
from edge_agent.ports import Batch, RefusedRow
from edge_agent.settings import MqttSource
from shared.errors import SourceError
from shared.messages import Cycle, Utc
from shared.rows import SensorRow

BATCH_ROWS = 64
IDLE_S = 1.0


class _JsonRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    engine: str
    cycle: Cycle
    observed_at: Utc
    channels: dict[Annotated[str, Meta(max_length=64)], float | None]


_decoder = msgspec.json.Decoder(_JsonRow)


class MqttRows:
    """Reads JSON rows from a local broker in a session that outlives restarts of the agent.

    Args:
        settings: broker and topic.
        engines: serials of this gateway's engines; rows of others are refused.
    """

    kind = "mqtt"

    def __init__(self, settings: MqttSource, engines: Collection[str]) -> None:
        self._options = LinkOptions(
            host=settings.host,
            port=settings.port,
            client_id=settings.client_id,
            version=settings.mqtt_version,
            subscriptions=[settings.topic],
            manual_ack=True,
        )
        self._engines = engines
        self._link: MqttLink | None = None

    async def batches(self, cursor: str | None) -> AsyncGenerator[Batch, None]:
        """See ``SensorSource.batches``; the broker keeps our place, so there is no cursor."""
        self._link = MqttLink(self._options)
        self._link.open()
        try:
            while True:
                received = await self._waiting_messages(self._link)
                yield Batch([self._reading(message.payload) for message in received], receipts=tuple(received))
        finally:
            await self._link.close()

    def accepted(self, batch: Batch) -> None:
        """Acknowledge the messages of a durable batch."""
        for receipt in batch.receipts:
            if self._link is not None and isinstance(receipt, Received):
                self._link.acknowledge(receipt)

    async def _waiting_messages(self, link: MqttLink) -> list[Received]:
        received: list[Received] = []
        try:
            async with asyncio.timeout(IDLE_S):
                while not received:
                    _take(await link.events.get(), received)
        except TimeoutError:
            return received
        while len(received) < BATCH_ROWS and not link.events.empty():
            _take(link.events.get_nowait(), received)
        return received

    def _reading(self, payload: bytes) -> SensorRow | RefusedRow:
        try:
            row = _decoder.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return RefusedRow(payload, str(error))
        if row.engine not in self._engines:
            return RefusedRow(payload, f"engine {row.engine!r} is none of this gateway's engines (setting engines)")
        channels = {name: math.nan if value is None else value for name, value in row.channels.items()}
        return SensorRow(row.engine, row.cycle, row.observed_at, channels, payload)


def _take(event: Connected | Disconnected | Received, received: list[Received]) -> None:
    match event:
        case Received():
            received.append(event)
        case Disconnected(reason=reason):
            raise SourceError(f"local broker: {reason}")
        case Connected():
            pass
