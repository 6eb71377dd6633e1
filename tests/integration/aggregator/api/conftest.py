"""The API over a real store, asked as a client asks it, mostly without a socket."""

import os
import re
import socket
import subprocess
import sys
import threading
from itertools import count
from pathlib import Path

import httpx
import pytest
import uvicorn
from sqlalchemy import event

from aggregator.access.authority import Authority
from aggregator.access.opaque import draw_api_key
from aggregator.access.roles import FULL_ACCESS, Caller, Grant, Role
from aggregator.access.tokens import TokenKey
from aggregator.api.app import create_app
from aggregator.enrolment import Enrolment, Welcome
from aggregator.ingest.status import IngestStatus
from aggregator.settings import ApiSettings
from aggregator.store.api_keys import KeyWish, add_key
from aggregator.store.logins import begin_login
from aggregator.store.people import add_person

DOCS = Path(__file__).parents[4] / "docs"
ROOT = Caller("root on this machine", FULL_ACCESS)


@pytest.fixture
def ingest():
    return IngestStatus(connected=True)


@pytest.fixture
def token_key():
    return TokenKey.draw()


@pytest.fixture
def api_settings():
    return ApiSettings()


@pytest.fixture
def authority(clock):
    return Authority.draw(clock())


@pytest.fixture
def enrolment(store, authority, clock):
    return Enrolment(store, authority, Welcome("mqtt.example.org", 8883, "tcp", "/mqtt", "k" * 43 + "="), clock)


@pytest.fixture
def app(store, ingest, clock, token_key, api_settings, enrolment):
    return create_app(store, ingest, clock, key=token_key, settings=api_settings, enrolling=enrolment)


@pytest.fixture
async def client(app):
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture
def secured(store, clock):
    """Somebody has an account, who cannot log in."""
    add_person(store, "root", "no hash", FULL_ACCESS, ROOT, clock())


@pytest.fixture
def bearer(store, clock, secured):
    """Headers of a program with some roles, given as ``engineer@hamburg``; of an admin of everything without."""

    def make(*texts):
        key = draw_api_key()
        wanted = KeyWish("test", _grants(texts), clock.in_(1_000_000))
        add_key(store, key, wanted, ROOT, clock())
        return {"Authorization": f"Bearer {key.text}"}

    return make


@pytest.fixture
def logged_in(store, clock, token_key):
    """Headers of a new person with some roles, told like those of ``bearer``; they are called zoe0, zoe1 and so on."""
    numbers = count()

    def make(*texts):
        name = f"zoe{next(numbers)}"
        add_person(store, name, "no hash", _grants(texts), ROOT, clock())
        begin_login(store, name, f"login of {name}", "127.0.0.1", clock(), clock.in_(1_000_000))
        token = token_key.issue(f"login of {name}", "api", clock(), 1_000_000)
        return {"Authorization": f"Bearer {token}"}

    return make


def _grants(texts):
    return tuple(Grant(Role(role), site) for role, _, site in (text.partition("@") for text in texts)) or FULL_ACCESS


@pytest.fixture
def statements(store):
    """Every SELECT that the store was sent, but for whether anybody has an account."""
    seen = []

    def see(connection, cursor, statement, *_):
        if statement.startswith("SELECT") and "FROM person" not in statement:
            seen.append(statement)

    event.listen(store.engine, "before_cursor_execute", see)
    return seen


@pytest.fixture
def serve_snippets(store, ingest, clock, tmp_path):
    """Serve the API, and run the snippets of a page of docs/ in their order; what each of them printed."""
    ends = []

    def run(name, **parts):
        page = (DOCS / name).read_text(encoding="utf-8")
        snippets = re.findall(r"^```(sh|python)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
        assert len(snippets) == len(re.findall(r"^```(?!text)\w", page, re.MULTILINE)) > 0
        listener = socket.create_server(("127.0.0.1", 0))
        app = create_app(store, ingest, clock, **parts)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        ends.append((server, thread))
        url = "http://{}:{}".format(*listener.getsockname())
        return [_run(language, snippet, url, tmp_path) for language, snippet in snippets]

    yield run
    for server, thread in ends:
        server.should_exit = True
        thread.join(60)


def _run(language, snippet, url, folder):
    command = ["bash", "-euo", "pipefail", "-c"] if language == "sh" else [sys.executable, "-c"]
    environment = os.environ | {"SPOOLWATCH": url, "KEY": "anything"}
    done = subprocess.run(
        [*command, snippet], env=environment, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"{snippet}\n{done.stdout}\n{done.stderr}"
    return done.stdout
