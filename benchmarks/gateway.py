"""A gateway under measurement: numbered rows, the two ways in which they reach it, and the settings of its agent."""

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from shared.cmapss import CHANNELS, cmapss_line
from simulators.engine_model import SimulatedEngine

SITE, GATEWAY, ENGINE = "hamburg", "gw-1", "E-1"
ROWS_TOPIC = "rows"
ANSWER_S = 10.0
LIFE = [row.values for row in SimulatedEngine(ENGINE, seed=1).rows()]


class RowFile:
    """A data logger that appends rows to a file; what is written counts as accepted.

    Attributes:
        accepted: the numbers of those rows.
    """

    def __init__(self, path: Path) -> None:
        self.accepted: set[int] = set()
        self._file = path.open("ab", buffering=0)

    def give(self, number: int) -> None:
        """Write a row; its number is its cycle."""
        self._file.write(cmapss_line(1, number, _values(number)).rstrip("\n").encode() + b"\n")
        self.accepted.add(number)

    def close(self) -> None:
        self._file.close()


class RowPublisher:
    """Hardware that publishes rows with QoS 1 and sends what was not acknowledged again; the acknowledged is accepted.

    Args:
        port: where the gateway's broker listens.
    """

    def __init__(self, port: int) -> None:
        self._numbers: dict[int, int] = {}  # by packet id; a benchmark has less rows than MQTT has packet ids
        self._acknowledged: list[int] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="hardware")
        self._client.reconnect_delay_set(1, 1)
        self._client.on_publish = lambda _client, _userdata, packet_id, *_: self._acknowledged.append(packet_id)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    @property
    def accepted(self) -> set[int]:
        """The numbers of the rows that the broker has acknowledged."""
        return {self._numbers[one] for one in list(self._acknowledged) if one in self._numbers}

    def give(self, number: int) -> None:
        """Publish a row; its number is its cycle."""
        row = {
            "engine": ENGINE,
            "cycle": number,
            "observed_at": datetime.now(UTC).isoformat(),
            "channels": dict(zip(CHANNELS, _values(number), strict=True)),
        }
        self._numbers[self._client.publish(ROWS_TOPIC, json.dumps(row), qos=1).mid] = number

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


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
