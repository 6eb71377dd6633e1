"""Downloads a small file over HTTP in a bounded time, however slowly the other side sends it."""

import socket
import threading
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any

Note = Callable[[socket.socket], None]


def download(url: str, timeout_s: float, max_bytes: int) -> bytes:
    """Fetch what lies at an address of http or https: at most so many bytes, in at most about so many seconds.

    Raises:
        OSError: it cannot be had, or not in time.
        HTTPException: what answers does not speak HTTP, or ended amid its answer.
    """
    lines: list[socket.socket] = []
    over = threading.Event()

    def note(line: socket.socket) -> None:
        lines.append(line)
        if over.is_set():
            cut()

    def cut() -> None:
        over.set()
        for line in lines:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(timeout_s, cut)
    timer.daemon = True
    timer.start()
    try:
        with urllib.request.build_opener(_Http(note), _Https(note)).open(url, timeout=timeout_s) as answer:
            content: bytes = answer.read(max_bytes)
    except (OSError, HTTPException) as error:
        if over.is_set():
            raise TimeoutError(f"it did not answer in {timeout_s:g} s") from error
        raise
    finally:
        timer.cancel()
    if over.is_set():  # what has no stated length ends with its line
        raise TimeoutError(f"it did not answer in {timeout_s:g} s")
    return content


class _Http(urllib.request.HTTPHandler):
    """Notes the line of each connection, which a timeout between two bytes does not bound."""

    def __init__(self, note: Note) -> None:
        super().__init__()
        self._note = note

    def http_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_noting(HTTPConnection, self._note), request)


class _Https(urllib.request.HTTPSHandler):
    """The same over TLS, whose handshake has a timeout as a whole."""

    def __init__(self, note: Note) -> None:
        super().__init__()
        self._note = note

    def https_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_noting(HTTPSConnection, self._note), request)


def _noting(kind: Any, note: Note) -> Any:
    class Noting(kind):  # type: ignore[misc]  # one class for both kinds
        def connect(self) -> None:
            super().connect()
            note(self.sock)

    return Noting
