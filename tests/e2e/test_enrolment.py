"""From a one-time token to predictions at the centre, through the real mosquitto as deploy/mosquitto configures it."""

import stat
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from shared.cmapss import cmapss_line
from simulators.engine_model import SimulatedEngine

BIN = Path(sys.executable).parent
ROWS = [(1, cycle, values) for cycle, values, _ in islice(SimulatedEngine("E-1", seed=7).rows(), 40)]


def command(*arguments, stdin=None, status=0):
    """Run one of our programs to its end; gives what it printed."""
    program = [str(BIN / arguments[0]), *map(str, arguments[1:])]
    done = subprocess.run(program, input=stdin, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout if status == 0 else done.stderr


@pytest.fixture
def centre(tmp_path, secure_mosquitto, programs, make_aggregator):
    """An aggregator with its own authority, serving https, and a broker that knows nobody but it."""
    data_dir, tls = tmp_path / "aggregator", tmp_path / "broker"
    command("spoolwatch-aggregator", "certificate", "127.0.0.1", "--out", tls, "--data-dir", data_dir)
    command("spoolwatch-aggregator", "broker-users", "--out", secure_mosquitto.users_file, "--data-dir", data_dir)
    secure_mosquitto.start()
    return make_aggregator(
        *("--enrolment.broker-host", "127.0.0.1", "--enrolment.broker-port", secure_mosquitto.port),
        broker=secure_mosquitto,
        tls=tls,
    )


@pytest.fixture
def box(tmp_path, programs, make_program):
    """A gateway box where nothing but the source is set."""
    folder = tmp_path / "box"
    folder.mkdir()
    (folder / "rows.txt").write_text("".join(cmapss_line(*row).rstrip("\n") + "\n" for row in ROWS))
    config = folder / "agent.toml"
    config.write_text(
        f'data_dir = "{folder / "state"}"\n'
        "delivery = {ack_timeout_s = 1.0, heartbeat_interval_s = 1.0}\n"
        f'source = {{kind = "file", path = "{folder / "rows.txt"}", follow = true}}\n'
    )
    agent = make_program(["spoolwatch-agent", "run", "--config", config], folder / "agent.log")
    agent.folder, agent.config = folder, config
    return agent


def test_p8_a_gateway_enrols_by_a_token_and_its_records_arrive(centre, box, wait_until):
    centre.register("E-1", "gw-1")
    made = centre.api.post("/gateways/gw-1/enrolment-tokens")
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    token = made.json()["token"]

    told = command("spoolwatch-agent", "enroll", centre.url, "--config", box.config, stdin=f"{token}\n")
    assert "gateway gw-1 of site hamburg is enrolled until" in told
    folder = box.folder / "state" / "enrolment"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes == {"enrolment": 0o700, "identity.pem": 0o600, "ca.crt": 0o600, "agent.toml": 0o600}

    box.start()
    wait_until(lambda: len(centre.history("E-1", "predictions")) == len(ROWS), "all predictions are committed")

    again = command("spoolwatch-agent", "enroll", centre.url, "--config", box.config, stdin=f"{token}\n", status=1)
    assert "has a certificate that is good until" in again
    forced = command(
        *("spoolwatch-agent", "enroll", centre.url, "--config", box.config, "--force"), stdin=f"{token}\n", status=1
    )
    assert "was used already" in forced
    assert box.process.poll() is None
