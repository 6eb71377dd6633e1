"""The other ends of sources: a serial line of pseudo-terminals, and an OPC UA server that tests write.

The server runs in a thread of its own, for it takes seconds to start.
"""

import asyncio
import errno
import os
import select
import socket
import termios
import threading
import tty
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asyncua import Server, ua
from asyncua.crypto.permission_rules import User, UserRole

NOW = datetime(2026, 1, 2, tzinfo=UTC)
NAMES = ("cycle", "T24", "T30")


class SerialLine:
    """Two pseudo-terminals: what is written to one is read from the other.

    Attributes:
        near: path of one end.
        far: path of the other.
    """

    def __init__(self):
        (self._near, near), (self._far, far) = os.openpty(), os.openpty()
        self.near, self.far = (Path(os.ttyname(end)) for end in (near, far))
        self._wanted, self._unwanted = os.pipe()
        self._open = [self._near, near, self._far, far, self._wanted, self._unwanted]
        for end in (near, far):
            tty.setraw(end)
        self._pump = threading.Thread(target=self._carry, daemon=True)
        self._pump.start()

    def _carry(self):
        other = {self._near: self._far, self._far: self._near}
        while self._wanted not in (ready := select.select([*other, self._wanted], [], [])[0]):
            for end in ready:
                os.write(other[end], os.read(end, 4096))

    def unplug(self):
        """Both ends are gone, as an adapter that is pulled out."""
        if self._open:
            os.write(self._unwanted, b"!")
            self._pump.join(60)
            for each in self._open:
                os.close(each)
            self._open = []


@pytest.fixture
def serial_line():
    line = SerialLine()
    yield line
    line.unplug()


@pytest.fixture
def stubborn_line(serial_line, monkeypatch):
    """A serial line whose adapter takes no settings, such as a baud rate that it does not know."""

    def refuse(*_):
        raise termios.error(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(termios, "tcsetattr", refuse)
    return serial_line


class Plc:
    """A server with three nodes per engine, which a test writes.

    Args:
        identity: folder of its certificate and key, without which it takes everybody without encryption.
        passwords: by user name; without any it asks nobody for his.
    """

    def __init__(self, identity=None, passwords=None):
        self._identity = identity
        self._passwords = passwords
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._run(self._start())

    def write(self, at_s, cycle=None, engine="E-1", **channels):
        """Write values, or data values, under the time so many seconds after ``NOW``."""
        at = NOW + timedelta(seconds=at_s)
        values = {"cycle": cycle, **channels} if cycle is not None else channels
        self._run(self._write(engine, at, values))

    def lasting_s(self):
        """For how long each subscription is kept for a client that has gone."""
        subscriptions = [one.data for one in self._server.iserver.subscription_service.subscriptions.values()]
        return [one.RevisedLifetimeCount * one.RevisedPublishingInterval / 1000 for one in subscriptions]

    def stop(self):
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _start(self):
        self._server = Server(user_manager=self if self._passwords else None)
        await self._server.init()
        self._server.set_endpoint(f"opc.tcp://127.0.0.1:{self.port}")
        self._server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        if self._identity is not None:
            await self._server.set_application_uri("urn:test:plc")
            await self._server.load_certificate(self._identity / "cert.der")
            await self._server.load_private_key(self._identity / "key.pem")
            self._server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
        await self._server.register_namespace("urn:test")
        for engine in ("E-1", "E-2"):
            for name in NAMES:
                node_id = ua.NodeId(f"{engine}.{name}", 2)
                await self._server.nodes.objects.add_variable(node_id, f"2:{engine}.{name}", 0.0)
        await self._server.start()

    def get_user(self, _server, username=None, password=None, certificate=None):
        """Who logs in, as the library asks a user manager."""
        known = username is not None and self._passwords.get(username) == password
        return User(role=UserRole.User, name=username) if known else None

    async def _end(self):
        await self._server.stop()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _write(self, engine, at, values):
        for name, value in values.items():
            status, value = value if isinstance(value, tuple) else (ua.StatusCode(), value)
            told = ua.DataValue(ua.Variant(value, ua.VariantType.Double), status, SourceTimestamp=at)
            await self._server.write_attribute_value(ua.NodeId(f"{engine}.{name}", 2), told)


@pytest.fixture(scope="session")
def make_plc():
    made = []

    def make(*options):
        made.append(Plc(*options))
        return made[-1]

    yield make
    for plc in made:
        plc.stop()


@pytest.fixture(scope="session")
def plc(make_plc):
    return make_plc()
