import math
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice

import numpy as np

from shared.cmapss import CHANNELS
from simulators.engine_model import SimulatedEngine
from simulators.hardware.engine import EngineHardware, HardwareOptions
from simulators.hardware.faults import ClockFault, FaultPlan, SensorFault

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def hardware(**options):
    return EngineHardware(1, "E-01", HardwareOptions(seed=3, flight_s=20, **options))


def test_samples_of_each_cycle_have_the_truth_as_their_median_until_the_engine_fails():
    engine = hardware()
    cycles = [(cycle, list(samples)) for cycle, samples in groupby(engine.samples(), lambda one: one.cycle)]
    assert [cycle for cycle, _ in cycles] == list(range(1, SimulatedEngine("E-01", 3).life_cycles + 1))
    for cycle, samples in cycles[::40]:
        truth = engine.truth(cycle, len(samples), NOW)
        assert [sample.ends for sample in samples] == [False] * 19 + [True]
        medians = np.median([sample.values for sample in samples], axis=0)
        assert np.allclose(medians, list(truth.channels.values()), rtol=1e-12, atol=1e-9)
    assert engine.truth(cycles[-1][0], 20, NOW).rul_cycles == 0


def test_the_same_seed_gives_the_same_samples_and_faults_change_only_their_channel():
    fault = SensorFault(kind="dropout", channel="T30", from_cycle=2, to_cycle=2)
    plain, again, faulty = (
        list(islice(hardware(**options).samples(), 60)) for options in ({}, {}, {"plan": FaultPlan(sensor=[fault])})
    )
    assert plain == again
    column = CHANNELS.index("T30")
    for one, other in zip(plain, faulty, strict=True):
        assert one.values[:column] + one.values[column + 1 :] == other.values[:column] + other.values[column + 1 :]
        assert math.isnan(other.values[column]) == (one.cycle == 2)


def test_the_truth_names_the_faults_of_a_cycle_also_those_drawn_by_chance():
    truth = hardware(fault_rate=1.0, clock_fault_rate=1.0).truth(1, 20, NOW)
    assert (len(truth.sensor), len(truth.clock)) == (1, 1)
    truth = hardware().truth(1, 20, NOW)
    assert (truth.sensor, truth.clock) == ([], [])


def test_a_frozen_clock_stands_and_then_shows_the_time_again():
    engine = hardware(plan=FaultPlan(clock=[ClockFault(kind="frozen", from_cycle=2, to_cycle=2)]))
    times = [(cycle, NOW + timedelta(seconds=second)) for second, cycle in enumerate([1, 2, 2, 2, 3])]
    assert [engine.device_time(cycle, now) for cycle, now in times] == [
        NOW,
        *[NOW + timedelta(seconds=1)] * 3,
        NOW + timedelta(seconds=4),
    ]


def test_only_sensors_that_are_noisy_are_called_so():
    assert "T30" in hardware().noisy_channels
    assert not {"T2", "altitude"} & set(hardware().noisy_channels)
    assert hardware(sample_noise=0.0).noisy_channels == []
