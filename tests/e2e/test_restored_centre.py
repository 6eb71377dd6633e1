"""The centre's store is set back to a backup: it becomes whole again from what the gateways still hold."""

import subprocess
from itertools import islice

from simulators.engine_model import SimulatedEngine

ROWS, LATER_ROWS = 30, 60


def test_a_restored_centre_is_made_whole_by_its_gateway(aggregator, make_agent, wait_until, tmp_path):
    def run(*command):
        line = [aggregator.process.args[0], *command, "--data-dir", str(aggregator.store.parent)]
        return subprocess.run(line, check=True, capture_output=True, text=True).stdout

    def cycles(kind):
        return [row["cycle"] for row in aggregator.history("E-1", kind)]

    rows = [(1, cycle, values) for cycle, values, _ in islice(SimulatedEngine("E-1", seed=7).rows(), LATER_ROWS)]
    aggregator.register("E-1", "gw-1")
    agent = make_agent(centre_key=run("command-key").strip())
    agent.start()
    agent.feed(*rows[:ROWS])
    wait_until(lambda: len(cycles("predictions")) == ROWS, "the first rows are stored")
    run("backup", str(tmp_path / "backup.db"))
    agent.feed(*rows[ROWS:])
    wait_until(lambda: len(cycles("telemetry")) == LATER_ROWS, "the later rows are stored")
    wait_until(lambda: agent.status()["outbox"]["unacked"] == 0, "every record is acknowledged")

    aggregator.stop()
    run("restore", str(tmp_path / "backup.db"))
    aggregator.start()

    expected = list(range(1, LATER_ROWS + 1))
    wait_until(lambda: cycles("telemetry") == cycles("predictions") == expected, "the store is whole again")
    assert run("missing") == ""
