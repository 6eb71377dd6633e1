"""One engine's hardware: its flights, sample after sample, with what is wrong with its sensors and its clock."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from shared.cmapss import CHANNELS
from simulators.engine_model import SimulatedEngine, frozen_constants
from simulators.hardware.faults import (
    ClockFault,
    FaultPlan,
    SensorFaults,
    clock_offset_s,
    drawn_clock_faults,
    drawn_faults,
)
from simulators.hardware.flight import STILL, Profile
from simulators.hardware.truth import CycleTruth

_FLIGHTS, _CHANCE, _SPIKES, _CLOCK = range(4)


@dataclass(frozen=True, slots=True)
class Sampled:
    """What an engine's sensors show at one moment.

    Attributes:
        number: counts the engine's samples, from 1.
        values: in the order of ``CHANNELS``; NaN where a sensor gives nothing.
        ends: whether it is the last sample of its cycle.
    """

    cycle: int
    number: int
    values: tuple[float, ...]
    ends: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """A sample of an engine as its device shows it, with what the device's clock said."""

    engine: "EngineHardware"
    sampled: Sampled
    at: datetime


@dataclass(frozen=True, slots=True)
class HardwareOptions:
    """How all engines of a play fly and fail.

    Attributes:
        seed: the same seed gives the same engines, flights and faults.
        subset: type of engine.
        flight_s: how long a flight is.
        sample_noise: noise from sample to sample, in units of that from row to row.
        fault_rate: probability that in a cycle a sensor fault begins.
        clock_fault_rate: probability that in a cycle a fault of the device's clock begins.
        plan: faults by schedule.
    """

    seed: int = 0
    subset: str = "FD001"
    flight_s: int = 60
    sample_noise: float = 1.0
    fault_rate: float = 0.0
    clock_fault_rate: float = 0.0
    plan: FaultPlan = field(default_factory=FaultPlan)


class EngineHardware:
    """The hardware of one engine, from its first cycle to its failure.

    Attributes:
        serial: the engine's serial number.
        unit: its number: unit id, or unit of a line.
        noisy_channels: those that no two samples show alike.

    Args:
        unit: its number.
        serial: its serial number.
        options: how it flies and fails.
    """

    def __init__(self, unit: int, serial: str, options: HardwareOptions) -> None:
        self.unit = unit
        self.serial = serial
        self._engine = SimulatedEngine(serial, options.seed, subset=options.subset)
        row_noise = np.max([condition.noise for condition in frozen_constants(options.subset).conditions], axis=0)
        self._flights, chance, spikes, clock = (
            np.random.default_rng([options.seed, stream, *serial.encode()])
            for stream in (_FLIGHTS, _CHANCE, _SPIKES, _CLOCK)
        )
        sample_noise = (options.sample_noise * row_noise).tolist()
        self._profile = Profile(options.flight_s, sample_noise)
        self.noisy_channels = [
            name for name, sd in zip(CHANNELS, sample_noise, strict=True) if sd > 0 and name not in STILL
        ]
        plan = options.plan.of(serial)
        drawn = drawn_faults(self._engine.life_cycles, options.fault_rate, row_noise.tolist(), chance)
        self._sensors = SensorFaults([*plan.sensor, *drawn], row_noise.tolist(), spikes)
        self._clock = [*plan.clock, *drawn_clock_faults(self._engine.life_cycles, options.clock_fault_rate, clock)]
        self._clock_faulty_since: datetime | None = None

    def samples(self) -> Iterator[Sampled]:
        """All samples of its life."""
        number = 0
        for cycle, row, _ in self._engine.rows():
            flight = self._profile.fly(row, self._flights)
            shown = self._sensors.applied(cycle, flight.values)
            for place, values in enumerate(shown.tolist(), 1):
                number += 1
                yield Sampled(cycle, number, tuple(values), place == len(shown))

    def device_time(self, cycle: int, now: datetime) -> datetime:
        """What the device's clock shows in a cycle; call it in the order of time."""
        on = self._clock_on(cycle)
        self._clock_faulty_since = (self._clock_faulty_since or now) if on else None
        since_s = (now - self._clock_faulty_since).total_seconds() if self._clock_faulty_since else 0.0
        return now + timedelta(seconds=clock_offset_s(self._clock, cycle, since_s))

    def truth(self, cycle: int, samples: int, ended_at: datetime) -> CycleTruth:
        """What was true of a cycle."""
        row = next(self._engine.rows(cycle))
        return CycleTruth(
            engine=self.serial,
            cycle=cycle,
            rul_cycles=row.rul_cycles,
            channels=dict(zip(CHANNELS, row.values, strict=True)),
            samples=samples,
            sensor=self._sensors.on(cycle),
            clock=self._clock_on(cycle),
            ended_at=ended_at,
        )

    def _clock_on(self, cycle: int) -> list[ClockFault]:
        return [fault for fault in self._clock if fault.from_cycle <= cycle <= fault.to_cycle]
