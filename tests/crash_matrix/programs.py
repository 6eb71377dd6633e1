"""The programs under test as child processes: started, killed, stopped and held for a while."""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

LOOPBACK = "127.0.0.1"
STOP_S = 20.0
START_S = 60.0
_PR_SET_PDEATHSIG = 1
_DROPPED = ("SPOOLWATCH_", "PYTHON", "LD_PRELOAD")
_BIN = Path(sys.executable).parent


def wait_until(condition: Callable[[], bool], deadline_s: float, what: str) -> None:
    """Poll until a condition holds.

    Raises:
        TimeoutError: it did not in time; says what was waited for.
    """
    until = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"still not after {deadline_s:.0f} s: {what}")
        time.sleep(0.05)


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


class Program:
    """One program, whose output goes to a log; it ends with us, and no setting of ours reaches it.

    Args:
        command: its command line; a bare name is looked up beside this Python.
        log: where its output goes.
        environment: added to what remains of ours.
    """

    def __init__(self, command: Sequence[object], log: Path, environment: Mapping[str, str] | None = None) -> None:
        name, *arguments = map(str, command)
        self.command = [name if "/" in name else str(_BIN / name), *arguments]
        self.log = log
        self.environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def ended_by_itself(self) -> bool:
        """Whether it runs no more although nobody ended it."""
        return self._process is not None and self._process.poll() is not None

    def start(self, **environment: str) -> None:
        """Start it, with more environment if given."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_DROPPED)}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=kept | self.environment | environment,
                preexec_fn=_end_with_parent,
            )

    def run(self) -> None:
        """Run it to its end.

        Raises:
            RuntimeError: it failed; with the end of its log.
        """
        self.start()
        wait_until(lambda: not self.running, START_S, f"{self.command} ends")
        if self._process is not None and self._process.returncode:
            raise RuntimeError(f"{self.command} failed; {self.log}:\n{self.log.read_text()[-1000:]}")

    def kill(self) -> None:
        """``kill -9``."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to stop as systemd would, and kill it if it does not."""
        self._end(signal.SIGTERM)

    def hold(self) -> None:
        """Let it run no instruction until ``resume``."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it run on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        process = self._process
        if process is not None:
            self._signal(number)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._process = None


class Mosquitto(Program):
    """A real mosquitto that keeps nothing over a restart.

    Args:
        folder: where its configuration and log go.
        name: what these are called.
    """

    def __init__(self, folder: Path, name: str) -> None:
        program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            raise FileNotFoundError("no mosquitto: install Debian's package mosquitto")
        self.port = free_port()
        self._configuration = folder / f"{name}.conf"
        self.bound()
        super().__init__([program, "-c", self._configuration], folder / f"{name}.log")

    def bound(
        self, *, queued_messages: int = 100_000, inflight_messages: int = 1000, message_bytes: int = 2**20
    ) -> None:
        """Bound, from its next start on, what it queues per client and how large a message it lets through."""
        self._configuration.write_text(
            f"listener {self.port} {LOOPBACK}\nallow_anonymous true\npersistence false\n"
            f"max_queued_messages {queued_messages}\nmax_inflight_messages {inflight_messages}\n"
            f"message_size_limit {message_bytes}\n"
        )

    def start(self, **environment: str) -> None:
        """Start it and wait until it listens."""
        super().start(**environment)
        wait_until(lambda: listens(self.port), START_S, f"mosquitto listens, see {self.log}")


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
