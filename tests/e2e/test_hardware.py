"""Simulated hardware → agent → real mosquitto → aggregator, over each protocol: what arrives is what was true."""

from statistics import fmean

import pytest

from edge_agent.modbus_settings import read_map, resolution
from shared.cmapss import CHANNELS
from simulators.hardware.truth import CycleTruth, read_hardware_truth

ENGINES = ("E-01", "E-02")
CYCLES = 15
FLOAT32 = 2**-23


class Rig:
    """Hardware of two engines, and the agent that reads it by the settings that come with it."""

    def __init__(self, folder, broker_port, make_program, options):
        self._folder = folder / "rig"
        what = ("--engines", len(ENGINES), "--port", 0, "--broker-port", broker_port, "--data-dir", self._folder)
        self.hardware = make_program(("spoolwatch-simulate", "hardware", *what, *options), folder / "hardware.log")
        where = ("--site", "hamburg", "--broker.port", broker_port, "--broker.mqtt-version", 5)
        command = ("spoolwatch-agent", "run", "--config", self._folder / "agent.toml", *where)
        self.agent = make_program(command, folder / "agent.log")

    def start(self, wait_until):
        self.hardware.start()
        wait_until((self._folder / "agent.toml").exists, f"the hardware is there, see {self.hardware.log}")
        self.agent.start()

    def stop(self):
        assert (self.agent.stop(), self.hardware.stop()) == (0, 0), self.hardware.log.read_text()

    def truth(self):
        """What was true, by engine and cycle."""
        told = read_hardware_truth(self._folder / "truth.jsonl")
        return {(one.engine, one.cycle): one for one in told if isinstance(one, CycleTruth)}

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


@pytest.mark.parametrize(("protocol", "speed"), [("modbus", 80), ("opcua", 40)])
def test_rows_are_those_of_the_truth_and_so_is_the_remaining_life(registered, make_rig, wait_until, protocol, speed):
    rig = make_rig("--protocol", protocol, "--speed", speed, "--flight-s", 20, "--sample-noise", 0)
    rig.start(wait_until)
    wait_until(
        lambda: all(len(registered.history(serial, "predictions")) >= CYCLES for serial in ENGINES),
        f"{CYCLES} cycles of each engine, see {rig.agent.log}",
    )
    rig.stop()

    truth, tolerance = rig.truth(), rig.tolerance(protocol)
    for serial in ENGINES:
        rows = rows_of(registered, serial)
        assert len(rows) >= CYCLES
        for cycle, row in rows.items():
            if cycle == 1:
                continue  # the agent may have come too late for all of it
            for name, value in truth[serial, cycle].channels.items():
                assert row["channels"][name] == pytest.approx(value, abs=tolerance[name](value), rel=0), (cycle, name)
        predictions = registered.history(serial, "predictions")
        assert fmean(abs(error(item, truth[serial, item["cycle"]])) for item in predictions) < 15


def error(prediction, truth):
    """Cycles that the prediction is too high, both at the model's cap at most."""
    cap = prediction["rul"]["cap_cycles"]
    return min(cap, prediction["rul"]["q50_cycles"]) - min(cap, truth.rul_cycles)
