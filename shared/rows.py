"""The sensor row as it leaves a source: all channels of one instant of one engine."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SensorRow:
    """One cycle row of one engine.

    Attributes:
        engine: the engine's serial.
        cycle: the source's cycle counter, from 1.
        observed_at: when the source took it, aware UTC.
        channels: value per channel in the unit the model's manifest states; NaN where the source had none.
        raw: the bytes it was read from, kept for a person should the row be refused.
    """

    engine: str
    cycle: int
    observed_at: datetime
    channels: dict[str, float]
    raw: bytes = field(default=b"", compare=False, repr=False)
