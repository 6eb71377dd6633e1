"""What leaves a source: a whole cycle row of one engine, or a sample that has yet to become part of one."""

from dataclasses import dataclass, field
from datetime import datetime

from shared.messages import Flags


@dataclass(frozen=True, slots=True)
class SensorRow:
    """One cycle row of one engine.

    Attributes:
        engine: the engine's serial.
        cycle: the source's cycle counter, from 1.
        observed_at: when the source took it, aware UTC.
        channels: value per channel in the unit the model's manifest states; NaN where the source had none.
        raw: the bytes it was read from, kept for a person should the row be refused.
        flags: what is told of the samples that it was made of, by channel; see ``shared.quality.TOLD``.
    """

    engine: str
    cycle: int
    observed_at: datetime
    channels: dict[str, float]
    raw: bytes = field(default=b"", compare=False, repr=False)
    flags: Flags | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One or several channels of one engine at one instant; ``shared.reduce`` makes cycle rows of samples.

    Attributes:
        engine: the engine's serial.
        observed_at: when the hardware took it, aware UTC; where the hardware has no clock, when the gateway read it.
        channels: value per channel in the unit the model's manifest states; NaN where the hardware was asked and had
            none, no entry where the channel comes at another time.
        cycle: the hardware's cycle counter where the source knows it.
        raw: the bytes it was read from, kept for a person should it be refused.
    """

    engine: str
    observed_at: datetime
    channels: dict[str, float]
    cycle: int | None = None
    raw: bytes = field(default=b"", compare=False, repr=False)
