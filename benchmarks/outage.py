"""The ways from a gateway to the centre that are compared over an outage: Mosquitto's bridge, and Spoolwatch."""

import getpass
import json
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.gateway import (
    ENGINE,
    GATEWAY,
    ROWS_TOPIC,
    SITE,
    RowFile,
    RowPublisher,
    agent_settings,
    keep_rows_for,
)
from benchmarks.programs import BIN, aggregator, child, free_port, mosquitto_program, wait_listening
from simulators.link import Link

# Every setting of mosquitto.conf(5) that keeps messages, for both brokers, and why:
TUNED = {
    "persistence": "true",  # queues and sessions go to disk at all
    "autosave_on_changes": "true",  # … after so many changes, not so many seconds
    "autosave_interval": "1",  # … which is after each
    "max_queued_messages": "0",  # no bound; 1,000 otherwise
    "max_inflight_messages": "1000",  # the backlog goes fast; 20 otherwise
    "set_tcp_nodelay": "true",  # no pause between small packets
}
TUNED_BRIDGE = {
    "cleansession": "false",  # the central broker keeps the bridge's session, the local one its queue
    "restart_timeout": "1",  # connects again after 1 s; after 5 to 30 s otherwise
    "keepalive_interval": "5",  # the least; 60 s otherwise
}


class Restartable:
    """A program that can be killed and started again; it ends with the stack.

    Args:
        stack: where it ends.
        log: where its output goes.
        command: its command line.
        ready: returns when the program is ready.
    """

    def __init__(self, stack: ExitStack, log: Path, *command: object, ready: Callable[[], None] = lambda: None) -> None:
        self._stack, self._command, self._ready = stack, command, ready
        self._log = stack.enter_context(log.open("a"))
        self._process: subprocess.Popen[str]
        self._written_before_bytes = 0
        self.start()

    @property
    def written_bytes(self) -> int:
        """What it has written to files so far; what goes into sockets is sent and does not count."""
        lines = Path(f"/proc/{self._process.pid}/io").read_text(encoding="ascii").splitlines()
        now_bytes = next(int(line.split()[1]) for line in lines if line.startswith("wchar:"))
        return self._written_before_bytes + now_bytes

    def start(self) -> None:
        self._process = self._stack.enter_context(child(*self._command, stdout=self._log, stderr=self._log))
        self._ready()

    def kill(self) -> None:
        """``kill -9``."""
        self._written_before_bytes = self.written_bytes
        self._process.kill()
        self._process.wait()


class Broker(Restartable):
    """A mosquitto with a configuration of its own."""

    def __init__(
        self, stack: ExitStack, folder: Path, settings: dict[str, str], bridge: dict[str, str] | None = None
    ) -> None:
        folder.mkdir()
        self.port = free_port()
        lines = [
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
            f"user {getpass.getuser()}",  # started by root it would become another, who may not write to our folder
            f"persistence_location {folder}/",
            *(f"{name} {value}" for name, value in (settings | (bridge or {})).items()),
        ]
        configuration = folder / "mosquitto.conf"
        configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")
        command = (mosquitto_program(), "-c", configuration)
        super().__init__(stack, folder / "mosquitto.log", *command, ready=lambda: wait_listening(self.port))


class Rows(Protocol):
    """What rows are given to at the gateway; ``accepted`` are the numbers of those it has taken over."""

    @property
    def accepted(self) -> set[int]: ...

    def give(self, number: int) -> None: ...


@dataclass(frozen=True)
class Way:
    """One way from a gateway to the centre.

    Attributes:
        rows: where rows begin it.
        gateway: the programs at the gateway.
        broker: the broker at the centre.
        link: between the two.
        arrived: how often each row has arrived at the centre.
    """

    rows: Rows
    gateway: list[Restartable]
    broker: Broker
    link: Link
    arrived: Callable[[], Counter[int]]


def bridge(stack: ExitStack, folder: Path, *, tuned: bool) -> Way:
    """Two mosquittos, the one at the gateway bridging to the one at the centre, where a subscriber counts."""
    settings = TUNED if tuned else {}
    centre = Broker(stack, folder / "centre", settings)
    consumer = Consumer(centre.port)
    stack.callback(consumer.close)
    link = Link(centre.port)
    stack.callback(link.close)
    of_bridge = {"connection": "centre", "address": f"127.0.0.1:{link.port}", "topic": f"{ROWS_TOPIC} out 1"}
    gateway = Broker(stack, folder / "gateway", settings, of_bridge | (TUNED_BRIDGE if tuned else {}))
    publisher = RowPublisher(gateway.port)
    stack.callback(publisher.close)
    return Way(publisher, [gateway], centre, link, consumer.arrived)


def spoolwatch(stack: ExitStack, folder: Path, *, source: Literal["file", "mqtt"]) -> Way:
    """Agent and aggregator with their defaults; the broker at the centre has its own defaults, too."""
    centre = Broker(stack, folder / "centre", {})
    stack.enter_context(aggregator(folder, centre.port, None)).register(ENGINE, SITE, GATEWAY)
    link = Link(centre.port)
    stack.callback(link.close)
    rows: RowFile | RowPublisher
    if source == "file":
        path = folder / "rows.txt"
        rows, settings, programs = RowFile(path), {"kind": "file", "path": str(path), "follow": True}, []
    else:
        hardware = Broker(stack, folder / "hardware", TUNED)
        keep_rows_for(GATEWAY, hardware.port)
        rows, programs = RowPublisher(hardware.port), [hardware]
        settings = {"kind": "mqtt", "topic": ROWS_TOPIC, "port": hardware.port, "client_id": GATEWAY}
    stack.callback(rows.close)
    configuration = agent_settings(folder, link.port, settings)
    agent = Restartable(stack, folder / "agent.log", BIN / "spoolwatch-agent", "run", "--config", configuration)
    store = folder / "aggregator" / "store.db"
    return Way(rows, [*programs, agent], centre, link, lambda: stored(store))


def stored(store: Path) -> Counter[int]:
    """How often the store has each row with its prediction."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        connection.execute("BEGIN")
        rows, predictions = (
            Counter(dict(connection.execute(f"SELECT cycle, count(*) FROM {table} GROUP BY cycle")))  # noqa: S608
            for table in ("telemetry", "prediction")
        )
    return Counter({number: max(times, predictions[number]) for number, times in rows.items() if predictions[number]})


class Consumer:
    """A subscriber at the centre with a session that the broker keeps, QoS 1; counts which rows come."""

    def __init__(self, port: int) -> None:
        self._numbers: list[int] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="consumer", clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(ROWS_TOPIC, qos=1)
        self._client.on_message = lambda _client, _userdata, message: self._take(message.payload)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def arrived(self) -> Counter[int]:
        return Counter(list(self._numbers))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _take(self, payload: bytes | bytearray) -> None:
        self._numbers.append(int(json.loads(payload)["cycle"]))
