"""The socket that the API is served on."""

import socket

from aggregator.settings import ApiSettings
from shared.errors import SpoolwatchError

UNREAD_S = 300
"""How long a client may leave unread what it was sent, before the system ends its connection and forgets that."""


def listen(api: ApiSettings) -> socket.socket:
    """Listen where the settings say.

    Raises:
        SpoolwatchError: somebody else does, or nobody can there.
    """
    try:
        listener = socket.create_server((api.host, api.port))
    except OSError as error:
        # A port may be free again soon, so that this is tried again and not taken for a wrong setting.
        raise SpoolwatchError(
            f"api: cannot listen on {api.host}:{api.port}: {error.strerror}; choose another --api.port"
        ) from error
    # Connections have it from their listener; Linux counts only while nothing at all is taken.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_S * 1000)
    return listener
