"""The network between one gateway and the broker: a TCP proxy that can be cut or go silent."""

import contextlib
import socket
import threading

from simulators.centre import LOOPBACK

_CHUNK_BYTES = 65536


class _Connection:
    """One connection through the link, pumped by a thread for each direction."""

    def __init__(self, near: socket.socket, far: socket.socket, *, silent: bool) -> None:
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
                sink.sendall(chunk)
        self.close()

    def close(self) -> None:
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self.flows.set()


class Link:
    """A way to the broker; ``port`` is where it begins.

    Args:
        broker_port: where it ends.
    """

    def __init__(self, broker_port: int) -> None:
        self._broker_port = broker_port
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._is_cut = self._is_silent = False
        self._connections: list[_Connection] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Close every connection, and new ones as soon as they are made."""
        with self._lock:
            self._is_cut = True
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.close()

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
        """Let new connections through again; what was frozen stays so until it is thawed or given up."""
        self._is_cut = self._is_silent = False

    def close(self) -> None:
        """End for good."""
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
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
            connection = _Connection(near, far, silent=self._is_silent)
            if self._is_cut:
                connection.close()
            else:
                self._connections.append(connection)
