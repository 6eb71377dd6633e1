import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from datetime import datetime
from pathlib import Path

import pytest
from jsonschema import Draft7Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT7

DEADLINE_S = 60.0
FOLDER = Path(__file__).parents[1]


def pytest_report_header():
    folder = os.environ.get("SPOOLWATCH_CMAPSS_DIR")
    if folder:
        return f"rows of the main path: C-MAPSS files in {folder}"
    return "rows of the main path: the engine model (SPOOLWATCH_CMAPSS_DIR names no folder of C-MAPSS files)"


def pytest_ignore_collect(collection_path, config):
    """Do not even collect files of long tests where these are left out."""
    return True if collection_path.name.endswith("_long.py") and config.option.markexpr == "not long" else None


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    """No setting of the machine reaches a test."""
    for name in list(os.environ):
        if name.startswith(("SPOOLWATCH_AGENT_", "SPOOLWATCH_AGGREGATOR_")):
            monkeypatch.delenv(name)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port, deadline_s=DEADLINE_S):
    until = time.monotonic() + deadline_s
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"nobody listens on port {port} after {deadline_s} s")


class Mosquitto:
    """A real mosquitto on a free loopback port; it keeps nothing over a restart."""

    host = "127.0.0.1"

    def __init__(self, folder, options=""):
        program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program, "mosquitto is missing: install Debian's package mosquitto"
        self.port = free_port()
        self._ports = (self.port,)
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} {self.host}\nallow_anonymous true\npersistence false\n"
            f"max_inflight_messages 1000\nmax_queued_messages 100000\n{options}\n"
        )
        self._command = [program, "-c", str(self._config)]
        self._process = None

    def start(self):
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for port in self._ports:
            wait_for_port(port)

    def kill(self):
        """As a power cut would."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self):
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()


@pytest.fixture
def mosquitto(tmp_path):
    broker = Mosquitto(tmp_path)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def make_mosquitto(tmp_path):
    """Starts a mosquitto with lines of its own in its configuration; one per test."""
    brokers = []

    def make(options):
        brokers.append(Mosquitto(tmp_path, options))
        brokers[-1].start()
        return brokers[-1]

    yield make
    for broker in brokers:
        broker.stop()


class SecureMosquitto(Mosquitto):
    """A real mosquitto with the configuration of deploy/mosquitto, on free loopback ports.

    Its folder has to get what ``spoolwatch-aggregator certificate`` and ``broker-users`` make before it is started.
    """

    def __init__(self, folder):
        folder.mkdir(exist_ok=True)
        super().__init__(folder)
        self.websocket_port = free_port()
        self.users_file = folder / "users.json"
        (plugin,) = Path("/usr/lib").glob("*/mosquitto_dynamic_security.so")
        text = (FOLDER / "deploy" / "mosquitto" / "spoolwatch.conf").read_text(encoding="utf-8")
        for shown, here in {
            "/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so": plugin,
            "/var/lib/mosquitto/spoolwatch-users.json": self.users_file,
            "/etc/mosquitto/spoolwatch/": f"{folder}/",
            "listener 8883": f"listener {self.port} {self.host}",
            "listener 443": f"listener {self.websocket_port} {self.host}",
        }.items():
            assert shown in text
            text = text.replace(shown, str(here))
        self._ports = (self.port, self.websocket_port)
        # As root, mosquitto would become a user who cannot write here.
        user = "user root\n" if os.geteuid() == 0 else ""
        self._config.write_text(f"{user}persistence true\npersistence_location {folder}/\n{text}")


@pytest.fixture
def secure_mosquitto(tmp_path):
    broker = SecureMosquitto(tmp_path / "broker")
    yield broker
    broker.stop()


class Contract:
    """docs/asyncapi.json as the judge of messages."""

    def __init__(self):
        self.document = json.loads((FOLDER / "docs" / "asyncapi.json").read_text(encoding="utf-8"))
        self._registry = Registry().with_resource("urn:contract", DRAFT7.create_resource(self.document))
        self._formats = FormatChecker(formats=())
        self._formats.checks("date-time", raises=ValueError)(_is_date_time)

    def problems(self, schema, message):
        """What is wrong with a decoded message or record; nothing if it is of the contract."""
        where = {"$ref": f"urn:contract#/components/schemas/{schema}"}
        judge = Draft7Validator(where, registry=self._registry, format_checker=self._formats)
        return [f"{error.json_path}: {error.message}" for error in judge.iter_errors(message)]

    def channel_of(self, topic):
        """The name of the channel that a topic belongs to; of two the one that says more."""
        matching = {
            name: channel["parameters"]
            for name, channel in self.document["channels"].items()
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", channel["address"]), topic)
        }
        return min(matching, key=lambda name: len(matching[name]))


def _is_date_time(text):
    return not isinstance(text, str) or datetime.fromisoformat(text).tzinfo is not None


@pytest.fixture(scope="session")
def contract():
    return Contract()
