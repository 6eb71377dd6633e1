"""The programs that a play starts: real agents and, where none runs yet, an aggregator; ended when the play ends."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from shared.errors import SpoolwatchError

ABORT_S = 5.0
ASK_TIMEOUT_S = 60.0
TAIL_LINES = 15
PR_SET_PDEATHSIG = 1


class ProgramError(SpoolwatchError):
    """A program could not be started or ended by itself."""


@dataclass(frozen=True, slots=True)
class Program:
    """One running program and where its output goes."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path


class Programs:
    """A group of programs that ends together, at the latest when the ``with`` block does.

    Args:
        logs: folder of their logs.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._programs: list[Program] = []

    def start(self, name: str, command: str, *arguments: str) -> None:
        """Start one of this project's commands.

        It leads a session of its own, so that a Ctrl-C at the terminal reaches only us and what is still on its way
        can arrive; and it gets no SPOOLWATCH_* variables, which would override the settings it is started with.

        Raises:
            ProgramError: the command is not installed.
        """
        log = self._logs / f"{name}.log"
        try:
            with log.open("ab") as output:
                process = subprocess.Popen(
                    [Path(sys.executable).with_name(command), *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=_environment(),
                    start_new_session=True,
                    preexec_fn=_end_with_parent,
                )
        except OSError as error:
            raise ProgramError(f"cannot start {command} beside {sys.executable}: {error.strerror}") from error
        self._programs.append(Program(name, process, log))

    def ask(self, command: str, *arguments: str) -> str:
        """Run one of this project's commands to its end; returns what it printed.

        Raises:
            ProgramError: it failed, and what it said.
        """
        try:
            done = subprocess.run(
                [Path(sys.executable).with_name(command), *arguments],
                capture_output=True,
                text=True,
                timeout=ASK_TIMEOUT_S,
                env=_environment(),
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ProgramError(f"cannot run {command} beside {sys.executable}: {error}") from error
        if done.returncode != 0:
            raise ProgramError(
                f"{command} {arguments[0]} ended with {_in_words(done.returncode)}: {done.stderr.strip()}"
            )
        return done.stdout.strip()

    def check(self) -> None:
        """Make sure that all still run.

        Raises:
            ProgramError: one has ended; with the end of its log.
        """
        for program in self._programs:
            status = program.process.poll()
            if status is not None:
                raise ProgramError(
                    f"{program.name} ended with {_in_words(status)}; {program.log}:\n{_tail(program.log)}"
                )

    def stop(self, timeout_s: float) -> list[Program]:
        """End all; returns those that did not end in time, and were killed, or ended with an error."""
        programs, self._programs = self._programs, []
        for program in programs:
            program.process.terminate()
        deadline = time.monotonic() + timeout_s
        return [program for program in programs if not _ended_well(program, deadline)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(ABORT_S)


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("SPOOLWATCH_")}


def _end_with_parent() -> None:
    """Ask the kernel to end this program should its parent die without a word."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _ended_well(program: Program, deadline: float) -> bool:
    try:
        return program.process.wait(max(0.0, deadline - time.monotonic())) == 0
    except subprocess.TimeoutExpired:
        program.process.kill()
        program.process.wait()
        return False


def _in_words(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-TAIL_LINES:]) or "  (empty)"
