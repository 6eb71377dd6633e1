"""One gateway: its agent, the box with the disk that it runs on, and its way to the broker."""

import json
import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from edge_agent.outbox import Outbox, OutboxError
from edge_agent.status import OUTBOX_FILE
from simulators.link import Link
from tests.crash_matrix.power import Disk, empty
from tests.crash_matrix.programs import LOOPBACK, Program

SITE = "hamburg"
DISK_RESERVE_BYTES = 16 * 2**20
HISTORY_MAX_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True)
class Way:
    """How a gateway reaches the centre: link to the broker, MQTT version, and the key that commands are signed with."""

    link: Link
    mqtt_version: int
    centre_key: str


class Gateway:
    """An agent in a box of its own.

    Args:
        name: the gateway's name.
        serials: its engines, whose units count from 1.
        source: the settings of its source.
        folder: where all of it goes.
        way: how it reaches the centre.
        recorder: the library that records writes.
        environment: what the agent runs with.
    """

    def __init__(
        self,
        name: str,
        serials: list[str],
        source: dict[str, object],
        folder: Path,
        way: Way,
        recorder: Path,
        environment: dict[str, str],
    ) -> None:
        self.name, self.serials, self.link, self.folder = name, serials, way.link, folder
        self.mount = folder / "disk"
        self.state = self.mount / "state"
        self.state.mkdir(parents=True)
        self.disk = Disk(self.state, folder / "writes.log", recorder)
        self.clones = 0
        settings = folder / "agent.toml"
        settings.write_text(self._settings(source, way))
        self.agent = Program(
            ["spoolwatch-agent", "run", "--config", settings],
            folder / "agent.log",
            environment | self.disk.environment,
        )
        self._preload = [str(recorder)]

    def start(self, preload: str = "", **environment: str) -> None:
        """Start the agent, with one more library preloaded if given."""
        libraries = " ".join([*self._preload, preload]).strip()
        self.agent.start(LD_PRELOAD=libraries, **environment)

    def kill(self) -> None:
        """``kill -9`` of the agent; what it wrote is still with the operating system."""
        self.agent.kill()
        self.disk.absorb()

    def cut_power(self, chance: random.Random) -> None:
        """The box loses power: the agent is gone, and so is what it wrote and did not fsync."""
        self.agent.kill()
        self.disk.cut_power(chance)

    def stop(self) -> None:
        """Stop the agent as systemd would."""
        self.agent.stop()
        self.disk.absorb()

    def supervise(self) -> bool:
        """Start an agent that ended by itself again; says whether it had."""
        ended = self.agent.ended_by_itself
        if ended:
            self.disk.absorb()
            self.start()
        return ended

    def save(self, name: str) -> Path:
        """Copy the box; the agent does not run."""
        copy = self.folder / name
        _replace_files(copy, self.state)
        return copy

    def put_back(self, copy: Path) -> None:
        """Make the box what it was when it was copied; the agent does not run."""
        _replace_files(self.state, copy)
        self.disk.adopt()

    def unacked(self) -> int | None:
        """How many records wait for the centre; None while that cannot be told."""
        try:
            with closing(Outbox(self.state / OUTBOX_FILE, read_only=True)) as outbox:
                return outbox.status().unacked
        except (OutboxError, sqlite3.Error, OSError):
            return None

    def _settings(self, source: dict[str, object], way: Way) -> str:
        engines = [f"{{serial = {json.dumps(serial)}, unit = {unit}}}" for unit, serial in enumerate(self.serials, 1)]
        lines = [
            f'site = "{SITE}"',
            f'gateway = "{self.name}"',
            f'data_dir = "{self.state}"',
            f"engines = [{', '.join(engines)}]",
            f'centre_key = "{way.centre_key}"',
            "[broker]",
            f'host = "{LOOPBACK}"',
            f"port = {way.link.port}",
            f"mqtt_version = {way.mqtt_version}",
            "keepalive_s = 5",
            "[delivery]",
            "ack_timeout_s = 1.0",
            "heartbeat_interval_s = 1.0",
            "[outbox]",
            f"disk_reserve_bytes = {DISK_RESERVE_BYTES}",
            f"history_max_bytes = {HISTORY_MAX_BYTES}",
            "[source]",
            *(f"{name} = {json.dumps(value)}" for name, value in source.items()),
        ]
        return "\n".join(lines)


def _replace_files(target: Path, source: Path) -> None:
    """Make one folder hold the files of another and nothing else."""
    target.mkdir(parents=True, exist_ok=True)
    empty(target)
    shutil.copytree(source, target, dirs_exist_ok=True)
