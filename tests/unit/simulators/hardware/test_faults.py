from itertools import pairwise

import numpy as np
import pytest

from shared.cmapss import CHANNELS
from shared.errors import SpoolwatchError
from simulators.hardware.faults import (
    ClockFault,
    FaultPlan,
    LinkFault,
    SensorFault,
    SensorFaults,
    clock_offset_s,
    drawn_clock_faults,
    drawn_faults,
    drawn_link_faults,
    read_plan,
)

T30 = CHANNELS.index("T30")
NOISE = [0.5] * len(CHANNELS)


def generator():
    return np.random.default_rng(7)


def flight(level=0.0):
    return level + np.arange(40.0)[:, None] * np.ones(len(CHANNELS))


def faulty(kind, cycle, values=None, size=10.0):
    fault = SensorFault(kind=kind, channel="T30", from_cycle=3, to_cycle=5, size=size)
    return SensorFaults([fault], NOISE, generator()).applied(cycle, flight() if values is None else values)


@pytest.mark.parametrize("kind", ["stuck", "drift", "spike", "dropout"])
def test_a_fault_is_on_in_its_cycles_and_its_channel_alone(kind):
    for cycle in (2, 6):
        assert np.array_equal(faulty(kind, cycle), flight())
    shown = faulty(kind, 3)
    assert not np.array_equal(shown[:, T30], flight()[:, T30])
    assert np.array_equal(np.delete(shown, T30, axis=1), np.delete(flight(), T30, axis=1))


def test_a_stuck_sensor_shows_for_cycles_what_it_showed_first():
    fault = SensorFault(kind="stuck", channel="T30", from_cycle=3, to_cycle=5)
    sensors = SensorFaults([fault], NOISE, generator())
    first, later = sensors.applied(3, flight(100)), sensors.applied(4, flight(200))
    assert set(first[:, T30]) == set(later[:, T30]) == {100.0}


def test_a_drift_grows_from_cycle_to_cycle():
    away = [(faulty("drift", cycle) - flight())[:, T30] for cycle in (3, 4, 5)]
    assert [set(column) for column in away] == [{5.0}, {10.0}, {15.0}]


def test_spikes_stand_alone_and_there_is_at_least_one():
    for _ in range(20):
        high = np.flatnonzero((faulty("spike", 3) - flight())[:, T30])
        assert len(high) >= 1
        assert np.all(np.diff(high) > 1)
        assert 0 < high[0] <= high[-1] < 39


def test_a_sensor_that_drops_out_gives_nothing():
    assert np.all(np.isnan(faulty("dropout", 4)[:, T30]))


def test_drawn_faults_never_overlap_and_are_the_same_for_the_same_seed():
    noise = [0.0 if name == "T2" else 1.0 for name in CHANNELS]
    faults = drawn_faults(300, 0.2, noise, generator())
    assert faults == drawn_faults(300, 0.2, noise, generator())
    assert {fault.kind for fault in faults} == {"stuck", "drift", "spike", "dropout"}
    assert not {"T2", "altitude", "TRA"} & {fault.channel for fault in faults}
    ends = [0] + [fault.to_cycle for fault in faults]
    assert all(end < fault.from_cycle <= fault.to_cycle <= 300 for end, fault in zip(ends, faults, strict=False))


def test_drawn_faults_of_clock_and_line_are_of_every_kind_and_never_overlap():
    clock, line = drawn_clock_faults(300, 0.2, generator()), drawn_link_faults(0.2, generator())
    assert {fault.kind for fault in clock} == {"step", "drift", "frozen"}
    assert {fault.kind for fault in line} == {"refused", "cut", "silent", "slow"}
    assert all(one.to_cycle < other.from_cycle for one, other in pairwise(clock))
    assert all(one.from_s < one.to_s < other.from_s for one, other in pairwise(line))
    assert drawn_clock_faults(300, 0.0, generator()) == drawn_link_faults(0.0, generator()) == []


@pytest.mark.parametrize(
    ("kind", "size", "since_s", "offset_s"), [("step", -3600.0, 5, -3600), ("drift", 0.5, 4, 2), ("frozen", 0.0, 4, -4)]
)
def test_a_clock_is_off_while_its_fault_is_on(kind, size, since_s, offset_s):
    faults = [ClockFault(kind=kind, from_cycle=2, to_cycle=3, size=size)]
    assert clock_offset_s(faults, 2, since_s) == offset_s
    assert clock_offset_s(faults, 4, since_s) == 0


def test_a_schedule_is_read_and_told_apart_by_engine(tmp_path):
    path = tmp_path / "faults.toml"
    path.write_text(
        '[[sensor]]\nkind = "stuck"\nchannel = "T30"\nengine = "E-01"\nfrom_cycle = 1\nto_cycle = 2\n'
        '[[link]]\nkind = "slow"\nfrom_s = 1.0\nto_s = 2.5\ndelay_s = 0.1\n'
        '[[clock]]\nkind = "frozen"\nfrom_cycle = 3\nto_cycle = 4\n'
    )
    plan = read_plan(path)
    stuck = SensorFault(kind="stuck", channel="T30", engine="E-01", from_cycle=1, to_cycle=2)
    slow = LinkFault(kind="slow", from_s=1.0, to_s=2.5, delay_s=0.1)
    frozen = ClockFault(kind="frozen", from_cycle=3, to_cycle=4)
    assert plan == FaultPlan(sensor=[stuck], link=[slow], clock=[frozen])
    assert plan.of("E-02") == FaultPlan(link=[slow], clock=[frozen])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[[sensor]]\nkind = "stuck"\nchannel = "T99"\nfrom_cycle = 1\nto_cycle = 2\n', "no channel T99"),
        ('[[sensor]]\nkind = "broken"\n', "broken"),
        ("[[senzor]]\n", "senzor"),
        ("[", "no schedule"),
        (None, "No such file"),
    ],
)
def test_a_wrong_schedule_is_named(tmp_path, text, named):
    path = tmp_path / "faults.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SpoolwatchError, match=named):
        read_plan(path)
