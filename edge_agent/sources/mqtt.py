"""Readings from a local MQTT broker, acknowledged to it only once they are durable.

One message is a whole cycle row or a sample as JSON (see ``readings``), or the value of one channel: a number, null
where there is none, or both with their time::

    rig/E-01/T24   642.1
    rig/E-01/T30   {"value": 1589.7, "observed_at": "2026-01-31T08:00:00Z"}
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Collection
from datetime import datetime

import msgspec
import structlog

from edge_agent.mqtt import Connected, Disconnected, LinkOptions, MqttLink, Received
from edge_agent.ports import Batch, RefusedRow
from edge_agent.seldom import Seldom
from edge_agent.settings import MqttSource
from edge_agent.sources.readings import JsonReadings
from shared.errors import SourceError
from shared.messages import Utc
from shared.rows import Sample, SensorRow

BATCH_ROWS = 64
IDLE_S = 1.0
CONNECT_TIMEOUT_S = 10.0


log = structlog.get_logger(__name__)


class _Dated(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    value: float | None
    observed_at: Utc


_values = msgspec.json.Decoder(float | _Dated | None)


class MqttReadings:
    """Reads a local broker in a session that outlives restarts of the agent.

    Args:
        settings: broker, topic and what it gives.
        engines: serials of this gateway's engines; readings of others are refused.
        now: the clock that dates samples without a time.
    """

    kind = "mqtt"

    def __init__(self, settings: MqttSource, engines: Collection[str], now: Callable[[], datetime]) -> None:
        self._levels = settings.topic.split("/") if settings.gives == "values" else None
        self._readings = JsonReadings("rows" if settings.gives == "rows" else "samples", engines, now)
        self._now = now
        self._stale = Seldom()
        self._options = LinkOptions(
            host=settings.host,
            port=settings.port,
            client_id=settings.client_id,
            version=settings.mqtt_version,
            subscriptions=[settings.topic.replace("{engine}", "+").replace("{channel}", "+")],
            manual_ack=True,
        )
        self._engines = engines
        self._link: MqttLink | None = None

    async def batches(self, cursor: str | None) -> AsyncGenerator[Batch, None]:
        """See ``SensorSource.batches``; the broker keeps our place, so there is no cursor."""
        self._link = MqttLink(self._options)
        self._link.open()
        try:
            yield self._batch(await self._first_words(self._link))
            while True:
                yield self._batch(await self._waiting_messages(self._link))
        finally:
            await self._link.close()

    def accepted(self, batch: Batch) -> None:
        """Acknowledge the messages of a durable batch."""
        for receipt in batch.receipts:
            if self._link is not None and isinstance(receipt, Received):
                self._link.acknowledge(receipt)

    async def _first_words(self, link: MqttLink) -> list[Received]:
        """Wait until the broker has let us in: only then is silence that of the hardware."""
        received: list[Received] = []
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _take(await link.events.get(), received)
        except TimeoutError as error:
            raise SourceError(f"local broker: no answer within {CONNECT_TIMEOUT_S:g} s") from error
        return received

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

    def _batch(self, received: list[Received]) -> Batch:
        usable = [message for message in received if not self._is_stale(message)]
        return Batch([self._reading(message) for message in usable], receipts=tuple(usable))

    def _is_stale(self, message: Received) -> bool:
        """A retained value is the last one before we came, and says not when it was taken."""
        if self._levels is None or not message.retained or self._link is None:
            return False
        self._link.acknowledge(message)
        if self._stale.due():
            log.warning("retained_values_left_out", topic=message.topic, reason="nobody knows when they were taken")
        return True

    def _reading(self, message: Received) -> SensorRow | Sample | RefusedRow:
        if self._levels is None:
            return self._readings.read(message.payload)
        named = dict(zip(self._levels, message.topic.split("/"), strict=False))
        engine, channel = named["{engine}"], named["{channel}"]
        if engine not in self._engines:
            return RefusedRow(message.payload, f"{message.topic}: engine {engine!r} is none of this gateway's engines")
        try:
            found = _values.decode(message.payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return RefusedRow(message.payload, f"{message.topic}: {error}")
        value, at = (found.value, found.observed_at) if isinstance(found, _Dated) else (found, self._now())
        return Sample(engine, at, {channel: math.nan if value is None else value}, raw=message.payload)


def _take(event: Connected | Disconnected | Received, received: list[Received]) -> None:
    match event:
        case Received():
            received.append(event)
        case Disconnected(reason=reason):
            raise SourceError(f"local broker: {reason}")
        case Connected():
            pass
