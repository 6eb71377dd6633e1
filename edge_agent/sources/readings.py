"""Readings as JSON, whichever way they travel: a whole cycle row, or a sample.

One object is one reading; a sample may leave out ``cycle`` and ``observed_at``::

    {"engine": "E-01", "cycle": 12, "observed_at": "2026-01-31T08:00:00Z", "channels": {"T24": 642.1, "T30": null}}
"""

import math
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edge_agent.ports import RefusedRow
from shared.messages import Cycle, Utc
from shared.rows import Sample, SensorRow

Gives = Literal["rows", "samples"]
_Channels = dict[Annotated[str, Meta(max_length=64)], float | None]


class _JsonRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    engine: str
    cycle: Cycle
    observed_at: Utc
    channels: _Channels


class _JsonSample(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    engine: str
    channels: _Channels
    cycle: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    observed_at: Utc | None = None


_rows = msgspec.json.Decoder(_JsonRow)
_samples = msgspec.json.Decoder(_JsonSample)


class JsonReadings:
    """Decodes the readings of one source.

    Args:
        gives: what they are.
        engines: serials of this gateway's engines; readings of others are refused.
        now: the clock that dates samples without a time.
    """

    def __init__(self, gives: Gives, engines: Collection[str], now: Callable[[], datetime]) -> None:
        self._gives = gives
        self._engines = engines
        self._now = now

    def read(self, raw: bytes) -> SensorRow | Sample | RefusedRow:
        """One reading, or why it is none."""
        try:
            reading = _rows.decode(raw) if self._gives == "rows" else _samples.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return RefusedRow(raw, str(error))
        if reading.engine not in self._engines:
            return RefusedRow(raw, f"engine {reading.engine!r} is none of this gateway's engines (setting engines)")
        channels = {name: math.nan if value is None else value for name, value in reading.channels.items()}
        if isinstance(reading, _JsonRow):
            return SensorRow(reading.engine, reading.cycle, reading.observed_at, channels, raw)
        return Sample(reading.engine, reading.observed_at or self._now(), channels, reading.cycle, raw)
