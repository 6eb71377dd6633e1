import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from simulators.centre import LOOPBACK
from simulators.link import Link

TIMEOUT_S = 5.0
SILENCE_S = 0.05


class Ends:
    """A link with somebody who listens behind it."""

    def __init__(self) -> None:
        self.listener = socket.create_server((LOOPBACK, 0))
        self.listener.settimeout(TIMEOUT_S)
        self.link = Link(self.listener.getsockname()[1])
        self._sockets = [self.listener]

    def connect(self) -> tuple[socket.socket, socket.socket]:
        """A connection through the link, as both ends see it."""
        near = self.knock()
        far, _ = self.listener.accept()
        far.settimeout(TIMEOUT_S)
        self._sockets.append(far)
        return near, far

    def knock(self) -> socket.socket:
        """Connect to the near end only."""
        near = socket.create_connection((LOOPBACK, self.link.port), TIMEOUT_S)
        self._sockets.append(near)
        return near

    def close(self) -> None:
        self.link.close()
        for one in self._sockets:
            one.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    with closing(Ends()) as both:
        yield both


def test_carries_bytes_both_ways(ends: Ends) -> None:
    near, far = ends.connect()
    near.sendall(b"row")
    far.sendall(b"ack")

    assert far.recv(10) == b"row"
    assert near.recv(10) == b"ack"


def test_a_cut_ends_connections_and_refuses_new_ones_until_it_heals(ends: Ends) -> None:
    near, far = ends.connect()
    ends.link.cut()

    assert near.recv(10) == b""
    assert far.recv(10) == b""
    assert ends.knock().recv(10) == b""

    ends.link.heal()
    near, far = ends.connect()
    near.sendall(b"row")
    assert far.recv(10) == b"row"


def test_a_frozen_connection_is_silent_and_gives_what_it_held_back_once_thawed(ends: Ends) -> None:
    near, far = ends.connect()
    ends.link.freeze()
    near.sendall(b"row")
    far.settimeout(SILENCE_S)
    with pytest.raises(TimeoutError):
        far.recv(10)

    ends.link.thaw()
    far.settimeout(TIMEOUT_S)
    assert far.recv(10) == b"row"


def test_closes_a_connection_when_nobody_listens_behind_it(ends: Ends) -> None:
    ends.listener.close()

    assert ends.knock().recv(10) == b""


def test_a_link_that_refuses_lets_nobody_knock_until_it_heals_on_the_same_port(ends: Ends) -> None:
    near, _ = ends.connect()
    ends.link.refuse()

    assert near.recv(10) == b""
    with pytest.raises(ConnectionRefusedError):
        ends.knock()

    ends.link.heal()
    near, far = ends.connect()
    near.sendall(b"row")
    assert far.recv(10) == b"row"


def test_a_slow_link_holds_what_it_carries_back_for_a_while(ends: Ends) -> None:
    near, far = ends.connect()
    ends.link.slow(4 * SILENCE_S)
    near.sendall(b"row")
    far.settimeout(SILENCE_S)
    with pytest.raises(TimeoutError):
        far.recv(10)

    far.settimeout(TIMEOUT_S)
    assert far.recv(10) == b"row"


def test_a_link_knows_whether_anybody_has_used_it(ends: Ends) -> None:
    assert not ends.link.used
    ends.connect()
    assert ends.link.used
