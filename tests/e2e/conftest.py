"""Real processes: agents and an aggregator as a user starts them, around a real mosquitto."""

import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from msgspec.structs import asdict
from playwright.sync_api import expect, sync_playwright

from edge_agent import status_text
from edge_agent.local import look
from edge_agent.outbox import OutboxError
from edge_agent.settings import AgentSettings
from shared.cmapss import CHANNELS, cmapss_line
from shared.predictor import find_bundle, load_bundle
from shared.rows import SensorRow
from shared.settings import load

DEADLINE_S = 60.0
CHROMIUM_FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
BIN = Path(sys.executable).parent


def wait_until(condition, what, deadline_s=DEADLINE_S):
    """Poll until the condition holds and return what it gave."""
    until = time.monotonic() + deadline_s
    while not (found := condition()):
        assert time.monotonic() < until, f"still not after {deadline_s} s: {what}"
        time.sleep(0.05)
    return found


def command(*arguments, stdin=None, status=0):
    """Run one of our programs to its end; gives what it printed."""
    program = [str(BIN / arguments[0]), *map(str, arguments[1:])]
    done = subprocess.run(program, input=stdin, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout if status == 0 else done.stderr


class Program:
    """A child process whose output goes to a log file."""

    def __init__(self, arguments, log):
        self._arguments = [str(BIN / arguments[0]), *map(str, arguments[1:])]
        self.log = log
        self.process = None

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._arguments, stdout=log, stderr=log)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """Ask it to stop as systemd would; returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"did not stop within 30 s:\n{self.log.read_text()[-3000:]}") from None
        return self.process.returncode

    def run(self, deadline_s=DEADLINE_S):
        """Run it to its end; returns exit status and output."""
        self.start()
        self.process.wait(deadline_s)
        return self.process.returncode, self.log.read_text()


class Aggregator(Program):
    def __init__(self, folder, broker, *options, tls=None):
        """With ``tls``, the folder of a server's certificate, it serves https, and speaks TLS to the broker."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        verify = True
        if tls is not None:
            verify = ssl.create_default_context(cafile=tls / "ca.crt")
            options += ("--api.tls-cert-file", tls / "server.crt", "--api.tls-key-file", tls / "server.key")
            options += ("--broker.tls", "--broker.dynamic-security")
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{port}"
        self.store = folder / "aggregator" / "store.db"
        self.api = httpx.Client(base_url=f"{self.url}/api/v1", timeout=10, verify=verify)
        super().__init__(
            [
                *("spoolwatch-aggregator", "serve", "--data-dir", folder / "aggregator", "--api.port", port),
                *("--broker.kind", "external", "--broker.port", broker.port, *options),
            ],
            folder / "aggregator.log",
        )

    def start(self):
        super().start()
        wait_until(self.ready, f"aggregator ready, see {self.log}")

    def ready(self):
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        try:
            return self.api.get(f"{self.url}/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def register(self, serial, gateway, *, position="1", site="hamburg", **fields):
        body = {"serial": serial, "type": "turbofan", "site": site, "gateway": gateway, "position": position} | fields
        answer = self.api.post("/engines", json=body)
        assert answer.status_code in (200, 201), answer.text

    def pages(self, path, **query):
        """All items of a cursor-paged list."""
        items, cursor = [], None
        while True:
            page = self.api.get(path, params=query | ({"cursor": cursor} if cursor else {}))
            assert page.status_code == 200, page.text
            items += page.json()["items"]
            cursor = page.json().get("next")
            if not cursor:
                return items

    def history(self, serial, kind):
        return self.pages(f"/engines/{serial}/{kind}", limit=500)


class Agent(Program):
    """An agent of its own gateway, fed by a file that grows."""

    def __init__(self, folder, broker, gateway, serials=("E-1",), **settings):
        self.folder = folder / gateway
        self.folder.mkdir()
        self.rows = self.folder / "rows.txt"
        self.rows.touch()
        self.outbox = self.folder / "state" / "outbox.db"
        engines = ", ".join(f'{{serial = "{serial}", unit = {unit}}}' for unit, serial in enumerate(serials, 1))
        config = self.folder / "agent.toml"
        lines = [
            'site = "hamburg"',
            f'gateway = "{gateway}"',
            f'data_dir = "{self.folder / "state"}"',
            *(f"{name} = {json.dumps(value)}" for name, value in settings.items()),
            f"engines = [{engines}]",
            f"broker = {{port = {broker.port}}}",
            "delivery = {ack_timeout_s = 1.0, heartbeat_interval_s = 1.0}",
            f'source = {{kind = "file", path = "{self.rows}", follow = true, poll_interval_s = 0.01}}',
        ]
        config.write_text("\n".join(lines))
        self.config = config
        super().__init__(["spoolwatch-agent", "run", "--config", config], self.folder / "agent.log")

    def feed(self, *rows):
        """Append rows of (unit, cycle, values)."""
        with self.rows.open("a") as file:
            file.writelines(cmapss_line(*row).rstrip("\n") + "\n" for row in rows)

    def status(self):
        """What ``spoolwatch-agent status --json`` tells, without a process for each look."""
        wait_until(self.outbox.exists, "the agent has made its outbox")
        return wait_until(self._look, f"{self.outbox} can be read")

    def _look(self):
        settings = load(AgentSettings, self.config)
        try:
            view = look(settings.data_dir, settings.outbox)
        except OutboxError:  # it is just being made
            return None
        return json.loads(status_text.render(view, as_json=True))


@pytest.fixture(name="wait_until")
def _wait_until():
    return wait_until


@pytest.fixture
def offline():
    """Steps the released bundle through rows (unit, cycle, values) without any of the programs.

    Gives RUL and input tensor by (engine, cycle), engine ``E-<unit>``.
    """

    def step_through(rows):
        predictor = load_bundle(find_bundle("turbofan"))
        states = {}
        said = {}
        for unit, cycle, values in rows:
            state = states.setdefault(unit, predictor.new_state())
            row = SensorRow(f"E-{unit}", cycle, datetime.now(UTC), dict(zip(CHANNELS, values, strict=True)))
            outcome = predictor.step(state, row).outcome
            rul = {f"{name}_cycles": value for name, value in asdict(outcome.rul_cycles).items()}
            said[row.engine, cycle] = (rul, outcome.input)
        return said

    return step_through


@pytest.fixture
def programs():
    """Programs to be stopped when the test ends, in reverse order."""
    started = []
    yield started
    for program in reversed(started):
        if program.process is not None:
            program.stop()


@pytest.fixture
def make_program(programs):
    def make(arguments, log):
        programs.append(Program(arguments, log))
        return programs[-1]

    return make


@pytest.fixture
def make_aggregator(tmp_path, programs):
    made = []

    def make(*options, broker, tls=None):
        made.append(Aggregator(tmp_path, broker, *options, tls=tls))
        programs.append(made[-1])
        made[-1].start()
        return made[-1]

    yield make
    for aggregator in made:
        aggregator.api.close()


@pytest.fixture
def aggregator(make_aggregator, mosquitto):
    return make_aggregator(broker=mosquitto)


@pytest.fixture
def make_agent(tmp_path, mosquitto, programs):
    def make(gateway="gw-1", serials=("E-1",), **settings):
        agent = Agent(tmp_path, mosquitto, gateway, serials, **settings)
        programs.append(agent)
        return agent

    return make


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
def hook():
    """A machine that is told of alarms: where, and the events that it was posted."""
    events = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            events.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", events
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def chromium():
    expect.set_options(timeout=DEADLINE_S * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def browse(chromium, aggregator):
    """Open pages of the aggregator; ``page.wrong`` lists what a page logged or fetched that it must not."""
    opened = []

    def open_page(path, **options):
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 800}} | options)
        opened.append(context)
        page = context.new_page()
        page.wrong = []
        page.on("console", lambda said: said.type in ("error", "warning") and page.wrong.append(said.text))
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.on("request", lambda asked: asked.url.startswith(aggregator.url) or page.wrong.append(asked.url))
        page.goto(aggregator.url + path)
        return page

    yield open_page
    for context in opened:
        context.close()
