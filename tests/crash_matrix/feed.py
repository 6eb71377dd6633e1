"""The engines: rows for every gateway as long as they are told to run, and the truth of what they emitted."""

import json
import random
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Protocol

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from shared.cmapss import CHANNELS, cmapss_line
from simulators.engine_model import SimulatedEngine
from tests.crash_matrix.programs import LOOPBACK

Key = tuple[str, int]
"""Engine serial and cycle."""

Truth = dict[Key, tuple[float, ...]]
"""The channels of every row that was emitted."""

PAUSE_S = 0.03
BURST_ROWS = 20
SUBSCRIBE_S = 10.0
SESSION_EXPIRY_S = 24 * 3600


class Outlet(Protocol):
    """How the rows of one gateway reach its agent."""

    def emit(self, serial: str, unit: int, cycle: int, values: Sequence[float]) -> None:
        """Hand one row over; it is kept there until the agent takes it."""


class FileOutlet:
    """A data logger that appends lines to a file which the agent follows."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def emit(self, serial: str, unit: int, cycle: int, values: Sequence[float]) -> None:
        """See ``Outlet``."""
        self._file.write(cmapss_line(unit, cycle, tuple(values)).rstrip("\n").encode() + b"\n")


class MqttOutlet:
    """Hardware that publishes rows to the gateway's own broker, which forgets those that were acknowledged.

    Args:
        port: where that broker listens.
        topic: where rows go.
        session: the MQTT client id of the agent's source, for which the broker keeps rows from now on.
    """

    def __init__(self, port: int, topic: str, session: str) -> None:
        self._topic = topic
        _keep_for(session, port, topic)
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="engine")
        self._client.connect(LOOPBACK, port)
        self._client.loop_start()

    def emit(self, serial: str, unit: int, cycle: int, values: Sequence[float]) -> None:
        """See ``Outlet``."""
        row = {
            "engine": serial,
            "cycle": cycle,
            "observed_at": datetime.now(UTC).isoformat(),
            "channels": dict(zip(CHANNELS, values, strict=True)),
        }
        self._client.publish(self._topic, json.dumps(row), qos=1).wait_for_publish(10)


class Engine:
    """One engine; when it has failed, the next one goes on under its serial with the next cycle."""

    def __init__(self, serial: str, unit: int, seed: int, outlet: Outlet) -> None:
        self.serial = serial
        self._unit, self._outlet = unit, outlet
        self._rows = _endless(serial, seed)
        self._cycles = count(1)

    def emit(self, truth: Truth) -> None:
        """Emit the next row and note it as truth."""
        cycle, values = next(self._cycles), next(self._rows)
        self._outlet.emit(self.serial, self._unit, cycle, values)
        truth[self.serial, cycle] = values


class Feed(threading.Thread):
    """Lets all engines emit while it is on.

    Args:
        engines: the engines of each gateway.
        seed: decides where bursts come.
    """

    def __init__(self, engines: dict[str, list[Engine]], seed: int) -> None:
        super().__init__(name="feed", daemon=True)
        self.truth: Truth = {}
        self._engines = engines
        self._chance = random.Random(f"feed {seed}")
        self._lock = threading.Lock()
        self._on = False
        self._paused: set[str] = set()

    def run(self) -> None:
        """Emit until the program ends."""
        while True:
            with self._lock:
                if self._on:
                    self._emit()
            time.sleep(PAUSE_S)

    def turn(self, *, on: bool) -> None:
        """Turn every engine on or off; off means that nothing more comes from when this returns."""
        with self._lock:
            self._on = on

    def pause(self, gateway: str, *, paused: bool) -> None:
        """Keep the engines of one gateway still."""
        with self._lock:
            (self._paused.add if paused else self._paused.discard)(gateway)

    def burst(self, gateway: str, rows: int) -> None:
        """Let the engines of one gateway, paused or not, emit some rows at once."""
        with self._lock:
            for engine in self._engines[gateway]:
                for _ in range(rows):
                    engine.emit(self.truth)

    def _emit(self) -> None:
        for gateway, engines in self._engines.items():
            if gateway not in self._paused:
                rows = BURST_ROWS if self._chance.random() < 0.01 else 1
                for engine in engines:
                    for _ in range(rows):
                        engine.emit(self.truth)


def _keep_for(session: str, port: int, topic: str) -> None:
    """Subscribe once in the name of a session that then outlives this connection."""
    subscribed = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=session, protocol=paho.MQTTv5)
    client.on_subscribe = lambda *_: subscribed.set()
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
    properties.SessionExpiryInterval = SESSION_EXPIRY_S
    client.connect(LOOPBACK, port, clean_start=False, properties=properties)
    client.subscribe(topic, qos=1)
    client.loop_start()
    if not subscribed.wait(SUBSCRIBE_S):
        raise TimeoutError(f"the broker on port {port} did not grant {topic}")
    client.disconnect()
    client.loop_stop()


def _endless(serial: str, seed: int) -> Iterator[tuple[float, ...]]:
    for life in count():
        for row in SimulatedEngine(serial, seed + 1000 * life).rows():
            yield row.values
