"""From a one-time token to predictions at the centre, through the real mosquitto as deploy/mosquitto configures it."""

import json
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from edge_agent.centre_api import CentreApiError
from edge_agent.renewal import Renewal
from shared.cmapss import cmapss_line
from simulators.engine_model import SimulatedEngine
from tests.e2e.conftest import BIN, command

ROWS = [(1, cycle, values) for cycle, values, _ in islice(SimulatedEngine("E-1", seed=7).rows(), 40)]


def committed(centre, box):
    assert box.process.poll() is None, box.log.read_text()[-3000:]
    return len(centre.history("E-1", "predictions"))


@pytest.fixture
def box(tmp_path, programs, make_program):
    """A gateway box where nothing but the source is set."""
    folder = tmp_path / "box"
    folder.mkdir()
    config = folder / "agent.toml"
    config.write_text(
        f'data_dir = "{folder / "state"}"\n'
        "delivery = {ack_timeout_s = 1.0, heartbeat_interval_s = 1.0}\n"
        f'source = {{kind = "file", path = "{folder / "rows.txt"}", follow = true}}\n'
    )
    agent = make_program(["spoolwatch-agent", "run", "--config", config], folder / "agent.log")
    agent.folder, agent.config = folder, config

    def feed(*rows):
        with (folder / "rows.txt").open("a") as file:
            file.writelines(cmapss_line(*row).rstrip("\n") + "\n" for row in rows)

    agent.feed = feed
    agent.feed(*ROWS)
    return agent


def test_p8_a_gateway_behind_a_firewall_enrols_by_a_token_and_its_records_arrive(
    centre, secure_mosquitto, box, wait_until
):
    with box.config.open("a") as file:
        file.write(f'broker = {{transport = "websockets", port = {secure_mosquitto.websocket_port}}}\n')
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
    wait_until(lambda: committed(centre, box) == len(ROWS), "all predictions are committed")

    again = command("spoolwatch-agent", "enroll", centre.url, "--config", box.config, stdin=f"{token}\n", status=1)
    assert "has a certificate that is good until" in again
    forced = command(
        *("spoolwatch-agent", "enroll", centre.url, "--config", box.config, "--force"), stdin=f"{token}\n", status=1
    )
    assert "was used already" in forced
    assert box.process.poll() is None


@pytest.fixture
def enrolled(centre, box, wait_until):
    """A running agent, enrolled, whose records arrive."""
    centre.register("E-1", "gw-1")
    box.token_file = box.folder / "token"
    box.token_file.write_text(centre.api.post("/gateways/gw-1/enrolment-tokens").json()["token"])
    command("spoolwatch-agent", "enroll", centre.url, "--config", box.config, "--token-file", box.token_file)
    box.identity = box.folder / "state" / "enrolment" / "identity.pem"
    box.start()
    wait_until(lambda: committed(centre, box) == len(ROWS), "all predictions are committed")
    return box


def renewal(box, centre, *, in_days):
    """What the agent does as it runs, as if it were so many days later."""
    return Renewal(
        centre.url,
        box.identity,
        box.identity.with_name("ca.crt"),
        lambda: datetime.now(UTC) + timedelta(days=in_days),
        uniform=lambda low, _: low,
    )


def test_p8_a_certificate_is_renewed_long_before_it_expires(enrolled, centre, secure_mosquitto, wait_until):
    first = enrolled.identity.read_bytes()
    assert not renewal(enrolled, centre, in_days=59).renew_if_due()
    assert renewal(enrolled, centre, in_days=61).renew_if_due()
    assert enrolled.identity.read_bytes() != first
    assert stat.S_IMODE(enrolled.identity.stat().st_mode) == 0o600

    secure_mosquitto.kill()  # the next connection shows the new one
    secure_mosquitto.start()
    enrolled.feed((1, 41, ROWS[-1][2]))
    wait_until(lambda: committed(centre, enrolled) == len(ROWS) + 1, "records flow again")

    assert renewal(enrolled, centre, in_days=61).renew_if_due()
    young = enrolled.identity.read_bytes()
    enrolled.identity.write_bytes(first)
    with pytest.raises(CentreApiError, match="was revoked or replaced"):
        renewal(enrolled, centre, in_days=61).renew_if_due()
    enrolled.identity.write_bytes(young)
    told = json.loads(command("spoolwatch-agent", "status", "--config", enrolled.config, "--json"))
    assert timedelta(days=89) < datetime.fromisoformat(told["certificate_expires_at"]) - datetime.now(UTC)
    assert "certificate good for 90.0 days" in command("spoolwatch-agent", "status", "--config", enrolled.config)


def test_p8_a_revoked_gateway_is_cut_off_until_it_enrols_anew(enrolled, centre, wait_until):
    def link():
        return json.loads(command("spoolwatch-agent", "status", "--config", enrolled.config, "--json"))["last"]["link"]

    data_dir = centre.store.parent
    assert "let in no longer" in command("spoolwatch-aggregator", "gateway", "revoke", "gw-1", "--data-dir", data_dir)
    wait_until(lambda: link().startswith("down: the broker refused the subscription"), "the broker lets it in no more")
    enrolled.feed((1, 41, ROWS[-1][2]))
    with pytest.raises(CentreApiError, match="was revoked or replaced"):
        renewal(enrolled, centre, in_days=61).renew_if_due()
    assert len(centre.history("E-1", "predictions")) == len(ROWS)

    options = ("--broker.kind", "external", "--broker.tls", "--data-dir", data_dir)
    token = command("spoolwatch-aggregator", "gateway", "add", "gw-1", "--site", "hamburg", *options)
    again = ("spoolwatch-agent", "enroll", centre.url, "--config", enrolled.config, "--force")
    command(*again, stdin=token)
    wait_until(lambda: committed(centre, enrolled) == len(ROWS) + 1, "what was kept arrives")


def test_the_doctor_sees_an_enrolled_box_through_to_its_topics(enrolled, centre, secure_mosquitto):
    def findings(status):
        program = [BIN / "spoolwatch-agent", "doctor", "--config", enrolled.config, "--json"]
        done = subprocess.run(program, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        return {finding["topic"]: finding for finding in json.loads(done.stdout)}

    found = findings(0)
    assert {topic: finding for topic, finding in found.items() if finding["verdict"] != "good"} == {}
    assert found.keys() >= {"model", "rows", "clock", "identity", "TLS", "session"}
    assert enrolled.log.read_text().count("link_up") == 1  # the running agent was not put off
    enrolled.stop()
    assert findings(1)["session"]["found"] == "the broker lets this gateway in, to its own topics"
    secure_mosquitto.kill()
    assert {topic for topic, finding in findings(1).items() if finding["verdict"] == "bad"} == {"agent", "network"}
