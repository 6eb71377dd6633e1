"""Simulated hardware → agent → real mosquitto → aggregator, over each protocol: what arrives is what was true."""

from itertools import takewhile
from statistics import fmean

import pytest
from paho.mqtt.publish import single

from edge_agent.modbus_settings import read_map, resolution
from edge_agent.status import read_local_status
from shared.cmapss import CHANNELS
from simulators.hardware.truth import CycleTruth, read_hardware_truth

ENGINES = ("E-01", "E-02")
FLOAT32 = 2**-23


class Rig:
    """Hardware of two engines, and the agent that reads it by the settings that come with it."""

    def __init__(self, folder, broker_port, make_program, options):
        self._folder = folder / "rig"
        self._broker_port = broker_port
        self._publishes = "mqtt" in options
        what = ("--engines", len(ENGINES), "--port", 0, "--broker-port", broker_port, "--data-dir", self._folder)
        self.hardware = make_program(("spoolwatch-simulate", "hardware", *what, *options), folder / "hardware.log")
        where = ("--site", "hamburg", "--broker.port", broker_port, "--broker.mqtt-version", 5)
        command = ("spoolwatch-agent", "run", "--config", self._folder / "agent.toml", *where)
        self.agent = make_program(command, folder / "agent.log")

    def start(self, wait_until):
        self.hardware.start()
        wait_until((self._folder / "agent.toml").exists, f"the hardware is there, see {self.hardware.log}")
        if self._publishes:  # it does not wait for anybody: the agent has to be there before it
            assert self.hardware.stop() == 0
            self.agent.start()
            wait_until(self._is_heard, f"the agent listens, see {self.agent.log}")
            self.hardware.start()
        else:
            self.agent.start()

    def _is_heard(self):
        """Whether something published has reached the agent, which refuses it."""
        single("rig/samples", b"no sample", qos=1, port=self._broker_port)
        (folder,) = {path.parent for path in self._folder.rglob("outbox.db")} or {self._folder}
        told = read_local_status(folder)
        return told is not None and told.status.source.refused_rows > 0

    def stop(self):
        assert (self.agent.stop(), self.hardware.stop()) == (0, 0), self.hardware.log.read_text()

    def truth(self):
        """What was true of the cycles before the line fell ill, by engine and cycle."""
        told = read_hardware_truth(self._folder / "truth.jsonl")
        return {(one.engine, one.cycle): one for one in takewhile(lambda one: isinstance(one, CycleTruth), told)}

    def tolerance(self, protocol):
        """By channel, how far a value may be off: half a step of its register."""
        if protocol != "modbus":
            return {name: lambda value: 1e-9 * abs(value) for name in CHANNELS}
        steps = {name: resolution(one) for name, one in read_map(self._folder / "registers.toml").channels.items()}
        return {name: lambda value, name=name: max(FLOAT32 * abs(value), steps[name] / 2 + 1e-9) for name in steps}


@pytest.fixture
def make_rig(tmp_path, mosquitto, make_program):
    return lambda *options: Rig(tmp_path, mosquitto.port, make_program, options)


@pytest.fixture
def registered(aggregator):
    for position, serial in enumerate(ENGINES, start=1):
        aggregator.register(serial, "gw-hardware", position=str(position))
    return aggregator


def rows_of(aggregator, serial):
    return {row["cycle"]: row for row in aggregator.history(serial, "telemetry")}


CLOCK_FAULTS = """
[[clock]]
kind = "step"
engine = "E-01"
from_cycle = 20
to_cycle = 22
size = -3000.0

[[clock]]
kind = "frozen"
engine = "E-02"
from_cycle = 30
to_cycle = 32
"""
# A step is seen when time runs back, a clock that stands in every cycle in which it stands.
CLOCK_FLAGGED = {("E-01", 20), ("E-02", 30), ("E-02", 31), ("E-02", 32)}


@pytest.mark.parametrize(
    ("protocol", "speed", "flight_s", "noise", "cycles", "flagged"),
    [
        ("modbus", 40, 60, 0, 8, set()),
        ("opcua", 40, 20, 0, 10, set()),
        ("mqtt", 200, 20, 0, 15, set()),
        ("tcp", 400, 10, 1, 180, CLOCK_FLAGGED),  # the same values under the same time would be a repeat
    ],
)
def test_rows_are_those_of_the_truth_and_so_is_the_remaining_life_whatever_clocks_show(
    registered, make_rig, wait_until, tmp_path, protocol, speed, flight_s, noise, cycles, flagged
):
    schedule = tmp_path / "faults.toml"
    schedule.write_text(CLOCK_FAULTS)
    flights = ("--flight-s", flight_s, "--sample-noise", noise, "--faults", schedule)
    rig = make_rig("--protocol", protocol, "--speed", speed, *flights)
    rig.start(wait_until)
    wait_until(
        lambda: all(len(registered.history(serial, "predictions")) >= cycles for serial in ENGINES),
        f"{cycles} cycles of each engine, see {rig.agent.log}",
    )
    rig.stop()

    truth, tolerance = rig.truth(), rig.tolerance(protocol)
    for serial in ENGINES:
        rows = rows_of(registered, serial)
        del rows[min(rows)]  # the agent may have come too late for all of it
        assert len(rows) >= cycles - 1
        for cycle, row in rows.items():
            for name, value in truth[serial, cycle].channels.items():
                assert row["channels"][name] == pytest.approx(value, abs=tolerance[name](value), rel=0), (cycle, name)
        told = {(serial, cycle) for cycle, row in rows.items() if "clock" in row["flags"].get("cycle", [])}
        assert told == {key for key in flagged if key[0] == serial}
        predictions = registered.history(serial, "predictions")
        assert fmean(abs(error(item, truth[serial, item["cycle"]])) for item in predictions) < 15


def error(prediction, truth):
    """Cycles that the prediction is too high, both at the model's cap at most."""
    cap = prediction["rul"]["cap_cycles"]
    return min(cap, prediction["rul"]["q50_cycles"]) - min(cap, truth.rul_cycles)


FAULTS = """
[[sensor]]
kind = "dropout"
channel = "T30"
engine = "E-01"
from_cycle = 4
to_cycle = 5

[[sensor]]
kind = "spike"
channel = "phi"
engine = "E-02"
from_cycle = 4
to_cycle = 5

[[sensor]]
kind = "stuck"
channel = "T24"
engine = "E-02"
from_cycle = 7
to_cycle = 8

[[link]]
kind = "refused"
from_s = 7.0
to_s = 7.5
"""
NAMED = {"dropout": "missing", "spike": "spike", "stuck": "some_stuck"}


def test_flags_name_the_faulty_sensors_and_a_line_that_was_down_is_read_again(
    registered, make_rig, wait_until, tmp_path
):
    schedule = tmp_path / "faults.toml"
    schedule.write_text(FAULTS)
    rig = make_rig("--protocol", "modbus", "--speed", 60, "--flight-s", 30, "--faults", schedule)
    rig.start(wait_until)
    wait_until(lambda: "source_failed" in rig.agent.log.read_text(), "the line is down, and the agent says so")
    before = len(registered.history("E-01", "telemetry"))
    wait_until(lambda: len(registered.history("E-01", "telemetry")) > before + 1, "the agent reads on")
    rig.stop()

    truth = rig.truth()
    rows = {
        (serial, row["cycle"]): row
        for serial in ENGINES
        for row in registered.history(serial, "telemetry")
        # For all of the first one the agent may have come too late.
        if row["cycle"] > 1 and (serial, row["cycle"]) in truth
    }
    faulty = {(*key, fault.channel): fault.kind for key, one in truth.items() for fault in one.sensor if key in rows}
    assert set(faulty.values()) == set(NAMED)
    for (serial, cycle, channel), kind in faulty.items():
        assert NAMED[kind] in rows[serial, cycle]["flags"].get(channel, []), (serial, cycle, channel)
    healthy = {(*key, channel): flags for key, row in rows.items() for channel, flags in row["flags"].items()}
    alarms = {key: flags for key, flags in healthy.items() if key not in faulty and key[2] in CHANNELS}
    assert {flag for flags in alarms.values() for flag in flags} <= {"recovering"}
