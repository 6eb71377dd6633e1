"""Raw samples are fetched by command, over a real broker, from an agent that reads simulated hardware."""

import csv
import subprocess
from datetime import UTC, datetime, timedelta

from shared.cmapss import CHANNELS

WANTED = 3000


def test_raw_samples_are_fetched_over_the_api(aggregator, mosquitto, make_program, tmp_path, wait_until):
    def key():
        line = [aggregator.process.args[0], "command-key", "--data-dir", str(aggregator.store.parent)]
        return subprocess.run(line, check=True, capture_output=True, text=True).stdout.strip()

    def fetch(**span):
        wish = {"action": "fetch_samples", "engine": "E-01", "limit": WANTED} | span
        asked = aggregator.api.post("/gateways/gw-hardware/commands", json=wish)
        assert asked.status_code == 202, asked.text
        path = f"{aggregator.url}{asked.headers['location']}"

        def ended():
            command = aggregator.api.get(path).json()
            return command if command["state"] != "waiting" else None

        command = wait_until(ended, "the command is answered")
        lines = aggregator.api.get(f"{path}/samples.csv").text.splitlines()
        return command, list(csv.DictReader(lines))

    aggregator.register("E-01", "gw-hardware")
    folder = tmp_path / "rig"
    what = ("--engines", 1, "--protocol", "tcp", "--speed", 400, "--flight-s", 10, "--port", 0, "--data-dir", folder)
    hardware = make_program(("spoolwatch-simulate", "hardware", *what), tmp_path / "hardware.log")
    where = ("--site", "hamburg", "--broker.port", mosquitto.port, "--broker.mqtt-version", 5, "--centre-key", key())
    agent = make_program(("spoolwatch-agent", "run", "--config", folder / "agent.toml", *where), tmp_path / "agent.log")
    hardware.start()
    wait_until((folder / "agent.toml").exists, f"the hardware is there, see {hardware.log}")
    agent.start()
    rows = wait_until(
        lambda: one if len(one := aggregator.history("E-01", "telemetry")) >= 60 else None, f"rows, see {agent.log}"
    )
    ever = {"since": "2000-01-01T00:00:00Z", "until": (datetime.now(UTC) + timedelta(days=9999)).isoformat()}
    command, samples = fetch(**ever)
    assert (command["state"], command["samples"]["is_whole"]) == ("done", True), command
    assert command["samples"]["samples"] == len(samples)
    assert len(samples) == WANTED or not command["samples"]["is_cut"]
    assert len(samples) > 300
    assert set(samples[0]) == {"observed_at", "cycle", *CHANNELS}
    known = {row["cycle"] for row in rows}
    assert {int(sample["cycle"]) for sample in samples if sample["cycle"]} & known

    command, samples = fetch(since="2000-01-01T00:00:00Z", until="2000-01-02T00:00:00Z")
    assert (command["state"], command["samples"]["samples"], samples) == ("done", 0, [])
    assert command["samples"]["oldest_at"] is not None
    assert (agent.stop(), hardware.stop()) == (0, 0)
