"""A gateway under measurement: numbered rows, the two ways in which they reach it, and the settings of its agent."""

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.mqtt_wire import PUBACK, Wire, publication
from shared.cmapss import CHANNELS, cmapss_line
from simulators.engine_model import SimulatedEngine

SITE, GATEWAY, ENGINE = "hamburg", "gw-1", "E-1"
ROWS_TOPIC = "rows"
ANSWER_S = 10.0
RECONNECT_S = 0.2
LIFE = [row.values for row in SimulatedEngine(ENGINE, seed=1).rows()]


class RowFile:
    """A data logger that appends rows to a file; what is written counts as accepted."""

    def __init__(self, path: Path) -> None:
        self._written = 0
        self._file = path.open("ab", buffering=0)

    @property
    def accepted(self) -> set[int]:
        """The numbers of the rows that are in the file."""
        return set(range(1, self._written + 1))

    def give(self, number: int) -> None:
        """Write a row; its number is its cycle."""
        self._file.write(cmapss_line(1, number, _values(number)).rstrip("\n").encode() + b"\n")
        self._written = number

    def close(self) -> None:
        self._file.close()


class RowPublisher(threading.Thread):
    """Hardware that publishes rows with QoS 1 in their order, and after an interruption again those without a PUBACK.

    A library's client lets new rows overtake those that it kept while it was not connected; rows of an engine have an
    order, which hardware that counts cycles keeps.

    Args:
        port: where the gateway's broker listens.
    """

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._acknowledged: set[int] = set()
        self._port = port
        self._rows: list[bytes] = []
        self._news = threading.Condition()
        self._closed = False
        self.start()

    @property
    def accepted(self) -> set[int]:
        """The numbers of the rows that the broker has acknowledged."""
        return set(self._acknowledged)

    def give(self, number: int) -> None:
        """Publish a row; its number is its cycle, and its packet id."""
        row = {
            "engine": ENGINE,
            "cycle": number,
            "observed_at": datetime.now(UTC).isoformat(),
            "channels": dict(zip(CHANNELS, _values(number), strict=True)),
        }
        with self._news:
            self._rows.append(publication(ROWS_TOPIC, number - 1, json.dumps(row).encode()))
            self._news.notify()

    def run(self) -> None:
        while not self._closed:
            try:
                wire = Wire(self._port, "hardware")
            except OSError:
                time.sleep(RECONNECT_S)
                continue
            reader = threading.Thread(target=self._read, args=(wire,), daemon=True)
            reader.start()
            with suppress(OSError):
                self._write(wire, reader)
            wire.close()
            reader.join()

    def close(self) -> None:
        self._closed = True
        self.join()

    def _write(self, wire: Wire, reader: threading.Thread) -> None:
        unaccepted = [index for index in range(len(self._rows)) if index + 1 not in self._acknowledged]
        written = unaccepted[0] if unaccepted else len(self._rows)
        while reader.is_alive() and not self._closed:
            with self._news:
                if len(self._rows) == written:
                    self._news.wait(RECONNECT_S)
                packets = self._rows[written:]
            wire.write(b"".join(packets))
            written += len(packets)

    def _read(self, wire: Wire) -> None:
        with suppress(OSError):
            while True:
                self._acknowledged.update(int.from_bytes(body[:2]) for kind, body in wire.packets() if kind == PUBACK)


class Feed(threading.Thread):
    """Gives rows numbered from 1 at an even rate, until it is ended.

    Attributes:
        given_at_s: when each was given, by number, on the monotonic clock.
    """

    def __init__(self, give: Callable[[int], None], rows_per_s: float) -> None:
        super().__init__(daemon=True)
        self.given_at_s: dict[int, float] = {}
        self._give, self._interval_s = give, 1 / rows_per_s
        self._ended = threading.Event()

    def run(self) -> None:
        due_s = time.monotonic()
        for number in count(1):
            if self._ended.wait(max(0.0, due_s - time.monotonic())):
                return
            self.given_at_s[number] = time.monotonic()
            self._give(number)
            due_s += self._interval_s

    def end(self) -> None:
        """Give nothing more from when this returns."""
        self._ended.set()
        self.join()


def keep_rows_for(client_id: str, port: int) -> None:
    """Let a broker keep rows from now on for a client that has not connected yet."""
    granted = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
    client.on_subscribe = lambda *_: granted.set()
    client.connect("127.0.0.1", port)
    client.subscribe(ROWS_TOPIC, qos=1)
    client.loop_start()
    if not granted.wait(ANSWER_S):
        raise TimeoutError(f"the broker on port {port} did not grant {ROWS_TOPIC}")
    client.disconnect()
    client.loop_stop()


def agent_settings(folder: Path, broker_port: int, source: dict[str, object]) -> Path:
    """Write the settings of an agent, all of them defaults but for names, places and source."""
    lines = [
        f"site = {json.dumps(SITE)}",
        f"gateway = {json.dumps(GATEWAY)}",
        f"data_dir = {json.dumps(str(folder / 'agent'))}",
        f"engines = [{{serial = {json.dumps(ENGINE)}}}]",
        "[broker]",
        f"port = {broker_port}",
        "[source]",
        *(f"{name} = {json.dumps(value)}" for name, value in source.items()),
    ]
    path = folder / "agent.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _values(number: int) -> tuple[float, ...]:
    return LIFE[number % len(LIFE)]
