"""The aggregator as a program: it starts, says when it is ready, and ends as it is told to."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from itertools import takewhile
from pathlib import Path

import aiomqtt
import httpx
import pytest
import websockets.sync.client

PROGRAM = Path(sys.executable).with_name("spoolwatch-aggregator")
DEADLINE_S = 60.0
STOP_S = 10.0


class Aggregator:
    """A running ``serve``."""

    def __init__(self, folder, *flags, **environment):
        self.log = folder / "aggregator.log"
        command = [PROGRAM, "serve", "--data-dir", folder / "data", "--api.port", "0", "--log-format", "json", *flags]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stderr=log, cwd=folder, env={**os.environ, **environment})

    def events(self, name):
        lines = self.log.read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def wait_for(self, name):
        until = time.monotonic() + DEADLINE_S
        while not self.events(name):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)
        return self.events(name)[0]

    def stop(self, number=signal.SIGTERM):
        """Returns the exit status and the seconds it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S), time.monotonic() - began


@pytest.fixture
def start(tmp_path):
    running = []

    def run(*flags, **environment):
        running.append(Aggregator(tmp_path, *flags, **environment))
        return running[-1]

    yield run
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_from_nothing_and_stops_in_time(start, free_tcp_port, number):
    aggregator = start("--broker.port", str(free_tcp_port))
    page = aggregator.wait_for("serving")["page"]
    aggregator.wait_for("broker_connected")
    assert httpx.get(f"{page}health/ready").json()["status"] == "ready"
    assert "no accounts yet" in aggregator.events("loopback_only")[0]["reason"]
    for path in ("", "engines/E-9"):
        assert f"--data-dir {aggregator.log.parent / 'data'}" in httpx.get(f"{page}{path}").text
    assert httpx.get(f"{page}engines/E-9").status_code == 404
    refused = httpx.post(page)
    assert (refused.status_code, refused.headers["content-type"]) == (405, "application/problem+json")

    status, took_s = aggregator.stop(number)
    assert (status, aggregator.events("stopped") != []) == (0, True)
    assert took_s < STOP_S


def test_p8_nobody_else_is_served_before_there_are_accounts(start, free_tcp_port):
    aggregator = start("--broker.port", str(free_tcp_port), "--api.host", "0.0.0.0")  # noqa: S104  # what is refused
    assert aggregator.process.wait(DEADLINE_S) == 78
    assert "spoolwatch-aggregator user add NAME --role admin" in aggregator.log.read_text()


def test_p8_with_an_account_it_serves_others_who_say_who_they_are(start, free_tcp_port, tmp_path):
    command = [PROGRAM, "user", "add", "anna", "--role", "admin", "--draw-password", "--data-dir", tmp_path / "data"]
    subprocess.run([PROGRAM, "migrate", "--data-dir", tmp_path / "data"], check=True, capture_output=True)
    added = subprocess.run(command, check=True, capture_output=True, text=True)
    password = added.stdout.partition("password: ")[2].strip()
    aggregator = start("--broker.port", str(free_tcp_port), "--api.host", "0.0.0.0")  # noqa: S104  # it has accounts
    port = httpx.URL(aggregator.wait_for("serving")["page"]).port
    aggregator.wait_for("not_encrypted")
    assert aggregator.events("loopback_only") == []
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE_S) as client:
        assert client.get("/api/v1/fleet").status_code == 401
        begun = client.post("/api/v1/sessions", json={"name": "anna", "password": password})
        headers = {"Authorization": f"Bearer {begun.json()['access_token']}"}
        assert client.get("/api/v1/fleet", headers=headers).status_code == 200
        assert "server" not in begun.headers
        spoofed = client.get("/api/v1/audit", headers=headers | {"X-Forwarded-For": "203.0.113.9"}).json()["items"]
    assert spoofed[0]["address"] == "127.0.0.1"
    assert (tmp_path / "data" / "token.key").stat().st_mode & 0o777 == 0o600


def test_clients_that_never_finish_what_they_ask_keep_nobody_waiting(start, free_tcp_port):
    aggregator = start("--broker.port", str(free_tcp_port))
    page = httpx.URL(aggregator.wait_for("serving")["page"])
    head = b"POST /api/v1/engines HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    json_body = b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    with ExitStack() as connections:
        for rest in (b"X-Slow: ", json_body) * 100:
            slow = connections.enter_context(socket.create_connection((page.host, page.port)))
            slow.sendall(head + rest)
        for path in ("health/live", "api/v1/fleet", "api/v1/engines"):
            assert httpx.get(f"{page}{path}", timeout=DEADLINE_S).status_code == 200
        assert aggregator.stop()[0] == 0


async def test_a_thousand_clients_at_once_are_all_answered(start, free_tcp_port):
    aggregator = start("--broker.port", str(free_tcp_port))
    page = httpx.URL(aggregator.wait_for("serving")["page"])
    paths = ("health/live", "api/v1/fleet", "api/v1/engines", "api/v1/gateways")

    async def ask(number):
        reader, writer = await asyncio.open_connection(page.host, page.port)
        for turn in range(2):
            path = paths[(number + turn) % len(paths)]
            writer.write(f"GET /{path} HTTP/1.1\r\nHost: {page.host}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(re.search(rb"content-length: (\d+)", head)[1]))
            yield head.split()[1]
        writer.close()
        await writer.wait_closed()

    async def statuses(number):
        return [status async for status in ask(number)]

    async with asyncio.timeout(DEADLINE_S):
        answers = await asyncio.gather(*(statuses(number) for number in range(1000)))
    assert {status for answer in answers for status in answer} == {b"200"}


def test_open_connections_do_not_keep_it_from_stopping(start, free_tcp_port):
    aggregator = start("--broker.port", str(free_tcp_port))
    page = httpx.URL(aggregator.wait_for("serving")["page"])
    aggregator.wait_for("broker_connected")
    with (
        socket.create_connection((page.host, page.port)) as browser,
        socket.create_connection(("127.0.0.1", free_tcp_port)),
    ):
        browser.sendall(b"POST /api/v1/engines HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        status, took_s = aggregator.stop()
    assert status == 0
    assert took_s < STOP_S


def test_a_page_that_is_open_does_not_keep_it_from_stopping(start, free_tcp_port):
    aggregator = start("--broker.port", str(free_tcp_port))
    page = httpx.URL(aggregator.wait_for("serving")["page"])
    aggregator.wait_for("broker_connected")
    live = f"ws://{page.host}:{page.port}/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    with websockets.sync.client.connect(live) as browser:
        assert browser.recv(DEADLINE_S).startswith("0{")  # what Engine.IO opens with
        status, took_s = aggregator.stop()
    assert status == 0
    assert took_s < STOP_S


def test_a_live_stream_ends_whole_when_it_is_stopped_and_goes_on_at_the_next(start, free_tcp_port):
    aggregator = start("--broker.port", str(free_tcp_port))
    page = aggregator.wait_for("serving")["page"]
    aggregator.wait_for("broker_connected")
    with httpx.stream("GET", f"{page}api/v1/events", timeout=DEADLINE_S) as stream:
        lines = stream.iter_lines()
        told = dict(line.split(": ", 1) for line in takewhile(bool, lines))
        aggregator.process.send_signal(signal.SIGTERM)
        rest = list(lines)  # to its end, which a connection that breaks has not
    assert (told["event"], told["retry"].isdecimal(), "data" in "".join(rest)) == ("start", True, False)
    status, took_s = aggregator.stop()
    assert (status, aggregator.events("stopped") != []) == (0, True)
    assert took_s < STOP_S

    following = start("--broker.port", str(free_tcp_port))
    page = following.wait_for("serving")["page"]
    with httpx.stream(
        "GET", f"{page}api/v1/events", headers={"Last-Event-ID": told["id"]}, timeout=DEADLINE_S
    ) as stream:
        registered = {"serial": "E-1", "site": "hamburg"}
        assert httpx.post(f"{page}api/v1/engines", json=registered, timeout=DEADLINE_S).status_code == 201
        event = next(line for line in stream.iter_lines() if line.startswith("event: "))
    assert event == "event: engine"


async def test_when_it_is_killed_its_last_will_says_that_it_no_longer_accepts(start, mosquitto):
    aggregator = start("--broker.kind", "external", "--broker.port", str(mosquitto.port))
    async with aiomqtt.Client(mosquitto.host, mosquitto.port) as client:
        await client.subscribe("spoolwatch/v1/centre/a/status", qos=1)
        accepting = []
        async with asyncio.timeout(DEADLINE_S):
            async for message in client.messages:
                accepting.append(json.loads(message.payload)["accepting"])
                if accepting == [True]:
                    aggregator.process.kill()
                if accepting == [True, False]:
                    break


def test_systemd_is_told_when_it_is_ready_and_while_it_makes_progress(start, free_tcp_port, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(DEADLINE_S)
        aggregator = start("--broker.port", str(free_tcp_port), NOTIFY_SOCKET=str(tmp_path / "notify"))
        said = {systemd.recv(100) for _ in range(3)}
        assert aggregator.stop()[0] == 0
    assert said == {b"READY=1", b"WATCHDOG=1"}


def test_a_broker_that_is_not_there_is_tried_again_while_the_page_is_served(start, free_tcp_port):
    aggregator = start("--broker.kind", "external", "--broker.port", str(free_tcp_port))
    page = aggregator.wait_for("serving")["page"]
    assert "refused" in aggregator.wait_for("broker_disconnected")["error"]
    assert httpx.get(f"{page}health/live").status_code == 200
    assert aggregator.stop()[0] == 0


@pytest.mark.parametrize(
    ("flag", "status", "words"),
    [
        ("--api.port", 1, "api: cannot listen on 127.0.0.1:{port}: Address already in use"),
        ("--broker.port", 1, "the embedded broker cannot listen on 127.0.0.1:{port}"),
    ],
)
def test_a_port_that_is_taken_is_named(start, free_tcp_port_factory, flag, status, words):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        flags = {"--broker.port": str(free_tcp_port_factory()), flag: str(port)}
        aggregator = start(*[text for pair in flags.items() for text in pair])
        assert aggregator.process.wait(DEADLINE_S) == status
    assert words.format(port=port) in aggregator.log.read_text()
    assert "Traceback" not in aggregator.log.read_text()
