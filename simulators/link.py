"""The network between two programs: a TCP proxy that can be cut, refuse, go silent or become slow."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable

from simulators.centre import LOOPBACK

_CHUNK_BYTES = 65536


class _Connection:
    """One connection through the link, pumped by a thread for each direction."""

    def __init__(self, near: socket.socket, far: socket.socket, *, silent: bool, delay_s: Callable[[], float]) -> None:
        self._delay_s = delay_s
        self._ends = (near, far)
        self.flows = threading.Event()
        if not silent:
            self.flows.set()
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(_CHUNK_BYTES):
                self.flows.wait()
                time.sleep(self._delay_s())
                sink.sendall(chunk)
        self.close()

    def close(self) -> None:
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self.flows.set()


class Link:
    """A way to a broker or another server.

    Attributes:
        port: where it begins.
        used: whether anybody has ever connected.

    Args:
        broker_port: where it ends.
        port: where it begins; 0 is any free port.
    """

    def __init__(self, broker_port: int, *, port: int = 0) -> None:
        self._broker_port = broker_port
        self._listener = socket.create_server((LOOPBACK, port))
        self.port = int(self._listener.getsockname()[1])
        self.used = False
        self._delay_s = 0.0
        self._lock = threading.Lock()
        self._is_cut = self._is_silent = False
        self._connections: list[_Connection] = []
        self._listen()

    def cut(self) -> None:
        """Close every connection, and new ones as soon as they are made."""
        with self._lock:
            self._is_cut = True
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.close()

    def refuse(self) -> None:
        """Cut every connection and listen no more: whoever knocks is refused."""
        self.cut()
        self._stop_listening()

    def slow(self, delay_s: float) -> None:
        """Hold each packet back for so long; 0 is as fast as ever."""
        self._delay_s = delay_s

    def freeze(self) -> None:
        """Forward nothing more, over present connections and new ones, and close none: they are half open."""
        with self._lock:
            self._is_silent = True
            for connection in self._connections:
                connection.flows.clear()

    def thaw(self) -> None:
        """Forward over frozen connections again, what was held back first."""
        with self._lock:
            for connection in self._connections:
                connection.flows.set()

    def heal(self) -> None:
        """Let new connections through again, and fast; what was frozen stays so until it is thawed or given up."""
        self._is_cut = self._is_silent = False
        self._delay_s = 0.0
        if self._listener.fileno() < 0:
            self._listener = socket.create_server((LOOPBACK, self.port))
            self._listen()

    def close(self) -> None:
        """End for good."""
        self.cut()
        self._stop_listening()

    def _listen(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _stop_listening(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # or who waits in accept would go on listening
        self._listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            self.used = True
            if self._is_cut:
                near.close()
                continue
            try:
                far = socket.create_connection((LOOPBACK, self._broker_port))
            except OSError:
                near.close()
                continue
            self._join(near, far)

    def _join(self, near: socket.socket, far: socket.socket) -> None:
        """Begin to forward, as the link is at this moment: it may have been cut or frozen since somebody knocked."""
        with self._lock:
            connection = _Connection(near, far, silent=self._is_silent, delay_s=lambda: self._delay_s)
            if self._is_cut:
                connection.close()
            else:
                self._connections.append(connection)
