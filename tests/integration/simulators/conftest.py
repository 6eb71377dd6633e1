import socket

import pytest


@pytest.fixture
def free_port():
    """Gives a port of the loopback that nobody listens on."""

    def give():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    return give
