"""Trains students side by side, each in a process of its own, with a progress bar; when one fails all are ended.

A process for each student: what was trained before it in the same one would change it in the last bit.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models.training import recipe
from shared.errors import SpoolwatchError

FULL = -1


class Job(NamedTuple):
    """One student to train: without one fold, or on all engines where ``fold`` is ``FULL``."""

    seed: int
    fold: int

    def __str__(self) -> str:
        """Name it for a person."""
        return f"the student of seed {self.seed}" + ("" if self.fold == FULL else f" without fold {self.fold}")


TrainOne = Callable[[Job, Path, Path, Callable[[], None]], None]


def train_all(jobs: list[Job], train_one: TrainOne, data: Path, run: Path) -> None:
    """Train every job, on each processor one.

    Args:
        jobs: what to train.
        train_one: trains one job from data into a run and calls its last argument after each epoch; a function of a
            module.
        data: folder with the training files.
        run: folder for the results.

    Raises:
        SpoolwatchError: a student could not be trained; the others that were not finished are ended.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    waiting = list(reversed(jobs))
    running: dict[Connection, tuple[Job, BaseProcess]] = {}
    try:
        with Progress(*columns) as progress:
            task = progress.add_task(f"{len(jobs)} students, epochs", total=len(jobs) * recipe.EPOCHS)
            while waiting or running:
                while waiting and len(running) < len(os.sched_getaffinity(0)):
                    _start(waiting.pop(), train_one, data, run, running)
                for epochs in connection.wait(list(running)):
                    try:
                        reason = epochs.recv()
                    except EOFError:
                        _check_end(*running.pop(epochs))
                        continue
                    if reason:
                        raise SpoolwatchError(reason)
                    progress.advance(task)
    finally:
        for _, process in running.values():
            process.kill()
            process.join()


def _start(
    job: Job, train_one: TrainOne, data: Path, run: Path, running: dict[Connection, tuple[Job, BaseProcess]]
) -> None:
    context = get_context("spawn")
    epochs, ours = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(train_one, job, data, run, ours), daemon=True)
    # The child inherits the mask: what stops all of them is for this process alone, which ends the others.
    with _stops_held_back():
        process.start()
        running[epochs] = job, process
    ours.close()


@contextmanager
def _stops_held_back() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _check_end(job: Job, process: BaseProcess) -> None:
    process.join()
    if process.exitcode == 0:
        return
    if process.exitcode == -signal.SIGKILL:
        raise SpoolwatchError(
            f"{job} was killed, perhaps because memory ran out; what is finished is kept: start it again, with less at "
            "a time by giving it fewer processors (taskset -c 0 make train …)"
        )
    how = f"status {process.exitcode}" if process.exitcode > 0 else f"signal {-process.exitcode}"
    raise SpoolwatchError(
        f"{job} failed ({how}), as said above; what is finished is kept: start it again when the cause is gone"
    )


def _work(train_one: TrainOne, job: Job, data: Path, run: Path, epochs: Connection) -> None:
    """What the child process runs; it tells of an epoch by an empty text, of what is wrong by the reason."""
    try:
        train_one(job, data, run, lambda: epochs.send(""))
    except SpoolwatchError as error:
        epochs.send(str(error))
    except BrokenPipeError:
        # The parent was killed: nobody waits for this student any more.
        sys.exit(1)
