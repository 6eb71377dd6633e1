"""The other programs of a benchmark, as child processes on loopback, and what they use."""

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg

BIN = Path(sys.executable).parent
DEADLINE_S = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def child(*command: object, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a program until the end of the block."""
    process = subprocess.Popen([str(part) for part in command], text=True, **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(DEADLINE_S)


@contextmanager
def mosquitto(folder: Path) -> Iterator[int]:
    """A broker that queues without a limit; yields its port."""
    port = free_port()
    (folder / "mosquitto.conf").write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_inflight_messages 1000\nmax_queued_messages 0\n"
    )
    with child(mosquitto_program(), "-c", folder / "mosquitto.conf", stderr=subprocess.DEVNULL):
        wait_listening(port)
        yield port


def mosquitto_program() -> str:
    """Where mosquitto is.

    Raises:
        FileNotFoundError: it is not installed.
    """
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if program is None:
        raise FileNotFoundError("no mosquitto: install Debian's package mosquitto")
    return program


def wait_listening(port: int) -> None:
    """Wait until somebody listens on a port."""
    _until(lambda: socket.create_connection(("127.0.0.1", port)).close())


@contextmanager
def postgresql() -> Iterator[str]:
    """A server as Debian sets it up, fsync included; yields the URL of an empty database."""
    folder = Path(tempfile.mkdtemp(prefix="spoolwatch-benchmark-"))
    shutil.chown(folder, "postgres", "postgres")
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
    as_postgres: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": [], "cwd": folder}
    cluster = folder / "cluster"
    initdb: list[str | Path] = [
        programs / "initdb",
        "-D",
        cluster,
        "-U",
        "spoolwatch",
        "--auth=trust",
        "--encoding=UTF8",
        "--no-locale",
    ]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(initdb, check=True, **as_postgres, **quiet)
    address = f"host={folder} user=spoolwatch dbname=postgres"
    command = (programs / "postgres", "-D", cluster, "-k", folder, "-h", "")
    with child(*command, **as_postgres, **quiet) as server:
        _until(lambda: psycopg.connect(address).close())
        yield f"postgresql://spoolwatch@/postgres?host={folder}"
        server.send_signal(signal.SIGINT)
        server.wait(DEADLINE_S)
    shutil.rmtree(folder)


class Aggregator:
    """A running ``spoolwatch-aggregator serve``."""

    def __init__(self, process: subprocess.Popen[str], api_port: int) -> None:
        self.process = process
        self.api = httpx.Client(base_url=f"http://127.0.0.1:{api_port}", timeout=DEADLINE_S)

    def register(self, serial: str, site: str, gateway: str) -> None:
        body = {"serial": serial, "type": "turbofan", "site": site, "gateway": gateway, "position": serial}
        self.api.post("/api/v1/engines", json=body).raise_for_status()

    def rss_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100


@contextmanager
def aggregator(folder: Path, broker_port: int, database_url: str | None) -> Iterator[Aggregator]:
    """The aggregator over a new store."""
    api_port = free_port()
    store = [] if database_url is None else ["--database-url", database_url]
    command = [BIN / "spoolwatch-aggregator", "serve", "--data-dir", folder / "aggregator", "--api.port", api_port]
    # The version that aiomqtt speaks by itself, and so the bare loop: paho takes a quarter longer over version 5.
    command += ["--broker.kind", "external", "--broker.port", broker_port, "--broker.mqtt-version", 3, *store]
    if database_url is not None:
        migrate = [BIN / "spoolwatch-aggregator", "migrate", *store]
        subprocess.run([str(part) for part in migrate], check=True, stdout=subprocess.DEVNULL)
    with (folder / "aggregator.log").open("a") as log, child(*command, stderr=log) as process:
        one = Aggregator(process, api_port)
        _until(lambda: one.api.get("/health/ready").raise_for_status())
        yield one
        one.api.close()


def _until(attempt: Callable[[], object]) -> None:
    until = time.monotonic() + DEADLINE_S
    while True:
        try:
            attempt()
        except (OSError, httpx.HTTPError, psycopg.OperationalError):
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return
