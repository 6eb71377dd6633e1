"""What goes wrong with simulated hardware: sensors, the link to the gateway, clocks; by schedule or by chance.

A schedule is a TOML file::

    [[sensor]]
    kind = "stuck"              # stuck, drift, spike or dropout
    channel = "T30"
    engine = "E-01"             # without it every engine
    from_cycle = 10
    to_cycle = 14               # the last one

    [[link]]
    kind = "cut"                # refused, cut, slow or silent
    from_s = 5.0                # seconds since the start, in real time
    to_s = 8.0

    [[clock]]
    kind = "step"               # step, drift or frozen
    from_cycle = 20
    to_cycle = 25
    size = -3600.0              # seconds; of a drift seconds per second
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta

from shared.cmapss import CHANNELS
from shared.errors import SpoolwatchError
from simulators.engine_model import Array
from simulators.hardware.flight import STILL

LONGEST_CYCLES = 10
SPIKE_SHARE = 0.05
SIZES_SD = {"drift": 5.0, "spike": 100.0}
# At most, of faults by chance: seconds of a step, seconds a second of a drift.
CLOCK_SIZES = {"step": 7200.0, "drift": 0.5, "frozen": 0.0}
MINUTES_OF_A_DAY = 24 * 60
_FROM = Annotated[int, Meta(ge=1)]
_Moment = Annotated[float, Meta(ge=0)]


class _Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all faults share."""


class SensorFault(_Fault, frozen=True, kw_only=True, omit_defaults=True):
    """One channel that lies or says nothing.

    Attributes:
        kind: ``stuck`` at its first value; ``drift`` further away with each cycle; ``spike`` in one sample of twenty;
            ``dropout``: no value.
        size: of a drift per cycle and of a spike, in sd of the channel's noise; without it that of ``SIZES_SD``.
    """

    kind: Literal["stuck", "drift", "spike", "dropout"]
    channel: str
    from_cycle: _FROM
    to_cycle: _FROM
    engine: str | None = None
    size: float | None = None


class ClockFault(_Fault, frozen=True, kw_only=True, omit_defaults=True):
    """A device whose clock is off by ``size`` seconds, runs ``size`` seconds a second too fast, or stands still."""

    kind: Literal["step", "drift", "frozen"]
    from_cycle: _FROM
    to_cycle: _FROM
    engine: str | None = None
    size: float = 0.0


class LinkFault(_Fault, frozen=True, kw_only=True, omit_defaults=True):
    """A line that refuses connections, is cut, holds everything back, or delays each packet by ``delay_s``."""

    kind: Literal["refused", "cut", "silent", "slow"]
    from_s: _Moment
    to_s: _Moment
    delay_s: _Moment = 0.2


class FaultPlan(_Fault, frozen=True, kw_only=True):
    """All faults of a play."""

    sensor: list[SensorFault] = []
    clock: list[ClockFault] = []
    link: list[LinkFault] = []

    def of(self, serial: str) -> "FaultPlan":
        """The faults of one engine; those of the line are everybody's."""
        return FaultPlan(
            sensor=[fault for fault in self.sensor if fault.engine in (None, serial)],
            clock=[fault for fault in self.clock if fault.engine in (None, serial)],
            link=self.link,
        )


def read_plan(path: Path) -> FaultPlan:
    """Read a schedule of faults.

    Raises:
        SpoolwatchError: it cannot be read, is no such schedule, or names no channel that there is.
    """
    try:
        plan = msgspec.toml.decode(path.read_bytes(), type=FaultPlan)
    except OSError as error:
        raise SpoolwatchError(f"cannot read the faults {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SpoolwatchError(f"{path} is no schedule of faults: {error}") from error
    unknown = sorted({fault.channel for fault in plan.sensor} - set(CHANNELS))
    if unknown:
        raise SpoolwatchError(f"{path}: there is no channel {', '.join(unknown)}; channels are {', '.join(CHANNELS)}")
    return plan


def drawn_faults(
    life_cycles: int, rate: float, noise: Sequence[float], generator: np.random.Generator
) -> list[SensorFault]:
    """Draw sensor faults for an engine: in each cycle one begins with this probability, unless one lasts.

    Only channels that have noise from sample to sample are drawn: the others stand still anyway.
    """
    kinds: tuple[Literal["stuck", "drift", "spike", "dropout"], ...] = ("stuck", "drift", "spike", "dropout")
    alive = [name for name, sd in zip(CHANNELS, noise, strict=True) if sd > 0 and name not in STILL]
    faults: list[SensorFault] = []
    for first, last in _drawn_spans(life_cycles, rate, generator):
        kind, channel = kinds[generator.integers(len(kinds))], alive[generator.integers(len(alive))]
        faults.append(SensorFault(kind=kind, channel=channel, from_cycle=first, to_cycle=last))
    return faults


def drawn_clock_faults(life_cycles: int, rate: float, generator: np.random.Generator) -> list[ClockFault]:
    """Draw faults of the clock of a device: in each cycle one begins with this probability, unless one lasts."""
    kinds: tuple[Literal["step", "drift", "frozen"], ...] = ("step", "drift", "frozen")
    faults: list[ClockFault] = []
    for first, last in _drawn_spans(life_cycles, rate, generator):
        kind = kinds[generator.integers(len(kinds))]
        size = round(float(generator.uniform(-1, 1)) * CLOCK_SIZES[kind], 3)
        faults.append(ClockFault(kind=kind, from_cycle=first, to_cycle=last, size=size))
    return faults


def drawn_link_faults(rate: float, generator: np.random.Generator) -> list[LinkFault]:
    """Draw faults of the line for a day: in each minute there is one with this probability, for 1 to 30 s."""
    kinds: tuple[Literal["refused", "cut", "silent", "slow"], ...] = ("refused", "cut", "silent", "slow")
    faults: list[LinkFault] = []
    for minute in range(MINUTES_OF_A_DAY):
        if generator.random() < rate:
            kind, from_s = kinds[generator.integers(len(kinds))], 60.0 * minute
            faults.append(LinkFault(kind=kind, from_s=from_s, to_s=from_s + float(generator.integers(1, 31))))
    return faults


def _drawn_spans(cycles: int, rate: float, generator: np.random.Generator) -> Iterator[tuple[int, int]]:
    """First and last cycle of faults that begin in each cycle with this probability, unless one lasts."""
    cycle = 1
    while cycle <= cycles:
        if generator.random() >= rate:
            cycle += 1
            continue
        last = min(cycles, cycle + int(generator.integers(LONGEST_CYCLES)))
        yield cycle, last
        cycle = last + 1


class SensorFaults:
    """The faulty sensors of one engine, flight by flight.

    Args:
        faults: what is wrong with them, and when.
        noise: sd of each channel, length 24.
        generator: draws which samples have spikes.
    """

    def __init__(self, faults: Sequence[SensorFault], noise: Sequence[float], generator: np.random.Generator) -> None:
        self._faults = faults
        self._noise = noise
        self._generator = generator
        self._stuck_at: dict[SensorFault, float] = {}

    def on(self, cycle: int) -> list[SensorFault]:
        """The faults that are on in a cycle."""
        return [fault for fault in self._faults if fault.from_cycle <= cycle <= fault.to_cycle]

    def applied(self, cycle: int, values: Array) -> Array:
        """What the sensors show of a flight, NaN where nothing; shape (samples, 24) as what came in."""
        shown = values.copy()
        for fault in self.on(cycle):
            column = CHANNELS.index(fault.channel)
            size_sd = SIZES_SD.get(fault.kind, 0.0) if fault.size is None else fault.size
            size = size_sd * self._noise[column]
            match fault.kind:
                case "stuck":
                    shown[:, column] = self._stuck_at.setdefault(fault, float(shown[0, column]))
                case "drift":
                    shown[:, column] += size * (cycle - fault.from_cycle + 1)
                case "spike":
                    # Never two in a row, nor in the first or last sample: two samples would be no spike.
                    places = np.arange(1, len(shown) - 1, 2)
                    drawn = self._generator.random(len(places)) < 2 * SPIKE_SHARE
                    drawn[self._generator.integers(len(places))] = True
                    shown[places[drawn], column] += size
                case "dropout":
                    shown[:, column] = np.nan
        return shown


def clock_offset_s(faults: Sequence[ClockFault], cycle: int, since_s: float) -> float:
    """How far a device's clock is ahead in a cycle.

    Args:
        faults: those of the clock of this engine's device.
        cycle: the cycle.
        since_s: seconds since its earliest fault that is on began; 0 where none is.
    """
    offset_s = 0.0
    for fault in faults:
        if fault.from_cycle <= cycle <= fault.to_cycle:
            offset_s += {"step": fault.size, "drift": fault.size * since_s, "frozen": -since_s}[fault.kind]
    return offset_s
