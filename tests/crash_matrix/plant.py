"""Everything that runs: brokers, gateways, aggregator and store, and the engines that feed them."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Literal

from aggregator.signing import open_command_key
from aggregator.store.database import open_store
from aggregator.store.registry import Registration, register_engine
from simulators.link import Link
from tests.crash_matrix.database import Database, Postgresql, Sqlite
from tests.crash_matrix.feed import Engine, Feed, FileOutlet, MqttOutlet, Outlet
from tests.crash_matrix.gateway import SITE, Gateway, Way
from tests.crash_matrix.power import build_recorder
from tests.crash_matrix.programs import LOOPBACK, START_S, Mosquitto, Program, free_port, wait_until
from tests.crash_matrix.replayer import Replayer

StoreKind = Literal["sqlite", "postgresql"]

FILE_FED = {"gw-1": ["E-1"], "gw-2": ["E-2", "E-3"]}
MQTT_FED = {"gw-3": ["E-4"]}
SPEAK_MQTT_3 = ("gw-2",)
SUPERVISION_S = 1.0


class Plant:
    """The running system; made by ``running_plant``."""

    def __init__(self, folder: Path, seed: int, store: StoreKind, environment: dict[str, str]) -> None:
        self.folder = folder
        self.database: Database = Postgresql() if store == "postgresql" else Sqlite(folder / "store.db")
        self.broker = Mosquitto(folder, "broker")
        self.hardware = Mosquitto(folder, "hardware")
        self.hardware.start()
        (folder / "aggregator").mkdir()
        self._centre_key = open_command_key(folder / "aggregator" / "command.key").public
        self._recorder = build_recorder(folder)
        self._environment = environment
        self.gateways = {name: self._gateway(name, serials) for name, serials in (FILE_FED | MQTT_FED).items()}
        self._api_port = free_port()
        self.aggregator = self.centre("serve")
        self.replayer = Replayer(self.broker.port)
        self.restarts = 0
        self.restored = False
        self._supervised_at = 0.0
        engines = {name: self._engines(name, seed) for name in self.gateways}
        self.feed = Feed(engines, seed)

    def start(self) -> None:
        """Start everything and let the engines be ready."""
        self._register()
        self.broker.start()
        self.aggregator.start()
        for gateway in self.gateways.values():
            gateway.start()
        wait_until(self._ready, START_S, f"the aggregator is ready and the agents run, see {self.folder}")
        self.replayer.start()
        self.feed.start()

    def supervise(self) -> None:
        """Start what ended by itself again, at most once a second, as systemd does."""
        if time.monotonic() - self._supervised_at < SUPERVISION_S:
            return
        self._supervised_at = time.monotonic()
        self.restarts += sum(gateway.supervise() for gateway in self.gateways.values())
        if self.aggregator.ended_by_itself:
            self.aggregator.start()
            self.restarts += 1

    def close(self) -> None:
        """End everything."""
        self.feed.turn(on=False)
        self.replayer.close()
        for gateway in self.gateways.values():
            gateway.link.close()
            gateway.kill()
        for program in (self.aggregator, self.broker, self.hardware):
            program.kill()
        self.database.close()

    def _gateway(self, name: str, serials: list[str]) -> Gateway:
        folder = self.folder / name
        folder.mkdir()
        rows = folder / "rows.txt"
        rows.touch()
        source: dict[str, object] = {"kind": "file", "path": str(rows), "follow": True, "poll_interval_s": 0.01}
        if name in MQTT_FED:
            source = {"kind": "mqtt", "topic": f"rows/{name}", "port": self.hardware.port, "client_id": name}
        way = Way(Link(self.broker.port), 3 if name in SPEAK_MQTT_3 else 5, self._centre_key)
        return Gateway(name, serials, source, folder, way, self._recorder, self._environment)

    def _engines(self, gateway: str, seed: int) -> list[Engine]:
        outlet: Outlet
        if gateway in FILE_FED:
            outlet = FileOutlet(self.folder / gateway / "rows.txt")
        else:
            outlet = MqttOutlet(self.hardware.port, f"rows/{gateway}", session=gateway)
        serials = self.gateways[gateway].serials
        return [Engine(serial, unit, seed, outlet) for unit, serial in enumerate(serials, start=1)]

    def centre(self, *command: str) -> Program:
        """A command of the aggregator on the store of this plant."""
        return Program(
            [
                *("spoolwatch-aggregator", *command, "--data-dir", self.folder / "aggregator"),
                *("--database-url", self.database.url, "--api.port", self._api_port),
                *("--broker.kind", "external", "--broker.port", self.broker.port),
            ],
            self.folder / "aggregator.log",
            self._environment,
        )

    def _register(self) -> None:
        store = open_store(self.database.url, migrate="head")
        for gateway in self.gateways.values():
            for position, serial in enumerate(gateway.serials, start=1):
                register_engine(store, Registration(serial, SITE, gateway.name, str(position)))
        store.close()

    def _ready(self) -> bool:
        for program in (self.aggregator, *(gateway.agent for gateway in self.gateways.values())):
            if program.ended_by_itself:
                raise RuntimeError(f"ended at once; {program.log}:\n{program.log.read_text()[-1000:]}")
        if any(gateway.unacked() is None for gateway in self.gateways.values()):
            return False
        try:
            with closing(HTTPConnection(LOOPBACK, self._api_port, timeout=START_S)) as connection:
                connection.request("GET", "/health/ready")
                return connection.getresponse().status == HTTPStatus.OK
        except OSError:
            return False


@contextmanager
def running_plant(folder: Path, seed: int, store: StoreKind, environment: dict[str, str]) -> Iterator[Plant]:
    """A plant that runs until the block ends."""
    with ExitStack() as stack:
        plant = Plant(folder, seed, store, environment)
        stack.callback(plant.close)
        plant.start()
        yield plant
