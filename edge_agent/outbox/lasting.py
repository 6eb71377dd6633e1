"""Keeps an outbox usable: a failing disk is relieved, a damaged file replaced, a half-done renumbering gone on with."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import structlog

from edge_agent.outbox import renumbering
from edge_agent.outbox.damage import SUFFIXES, folders, set_aside
from edge_agent.outbox.file import DamagedError, DiskError, OutboxError, OutboxFile

T = TypeVar("T")

log = structlog.get_logger(__name__)


class LastingFile:
    """The outbox file of now, which is another one after damage.

    Attributes:
        file: the open file.
        is_renumbering: whether a new stream was begun and neither numbering is whole.
        sessions: starts of the agent so far, for a fresh file to go on counting from.

    Args:
        path: the SQLite file; made where there is none.
        read_only: only look; nothing is relieved, replaced or gone on with.
        now: the clock, aware UTC, for the name of what is set aside.

    Raises:
        OutboxError: the file cannot be opened or set aside, or is of another version.
    """

    def __init__(self, path: Path, *, read_only: bool, now: Callable[[], datetime]) -> None:
        self._path = path
        self._now = now
        self._aside: Path | None = None
        self.is_renumbering = False
        self.sessions = 0
        try:
            self.file = OutboxFile(path, read_only=read_only)
            self.is_renumbering = not read_only and renumbering.is_under_way(self.file)
        except DamagedError as error:
            if read_only or not _anything_at(path):
                raise
            self.file = self._fresh(error)
        if not read_only:
            self.surely(self._tell_of_earlier_damage, half_way=True)

    def surely(self, work: Callable[[], T], *, half_way: bool = False) -> T:
        """Do a piece of work; once more after a failing disk was relieved or a damaged file replaced.

        A renumbering under way is finished first, which takes seconds where much is unacked, unless the work is sound
        ``half_way`` through one.
        """
        try:
            return self._do(work, half_way=half_way)
        except DiskError:
            if self.file.read_only:
                raise
            self.file.relieve()
        except DamagedError as error:
            if self.file.read_only:
                raise
            damaged, self.file = self.file, self._fresh(error)
            damaged.close()
            self.is_renumbering = False
        return self._do(work, half_way=half_way)

    def store(self, write: Callable[[bool], T]) -> T:
        """Write something new: at first the file may grow, and once more without where the disk does not let it."""
        try:
            return self.surely(lambda: write(True))
        except DiskError:
            return self.surely(lambda: write(False))

    def begin_renumbering(self) -> None:
        """Begin to number anew what is unacked, unless that is under way.

        Raises:
            OutboxError: it is not begun.
        """

        def begin() -> None:
            renumbering.begin(self.file)
            self.is_renumbering = True

        self.surely(begin, half_way=True)

    def renumber_piece(self) -> None:
        """Do some of the renumbering that is under way.

        Raises:
            OutboxError: it is not done.
        """

        def go_on() -> None:
            self.is_renumbering = self.is_renumbering and renumbering.go_on(self.file)

        self.surely(go_on, half_way=True)

    def _do(self, work: Callable[[], T], *, half_way: bool) -> T:
        while self.is_renumbering and not half_way:
            self.is_renumbering = renumbering.go_on(self.file)
        return work()

    def _fresh(self, error: DamagedError) -> OutboxFile:
        """Replace a damaged file; if the new one cannot be made for now, a later call goes on from there."""
        now = self._now()
        if self._aside is None:
            self._aside = set_aside(self._path, now)
            log.error("outbox_damaged", reason=str(error), set_aside=str(self._aside))
        try:
            with ExitStack() as on_failure:
                file = OutboxFile(self._path)
                on_failure.callback(file.close)
                damage = f"{str(error)[:800]}; set aside as {self._aside.name} at {now:%Y-%m-%d %H:%M:%S} UTC"
                file.execute("UPDATE head SET damage = ?, sessions = ?", (damage, self.sessions))
                on_failure.pop_all()
        except OutboxError:
            for suffix in SUFFIXES:
                with suppress(OSError):
                    self._path.with_name(self._path.name + suffix).unlink()
            raise
        self._aside = None
        return file

    def _tell_of_earlier_damage(self) -> None:
        """An agent that ended between moving a damaged file aside and noting that, as on a full disk, told nobody."""
        aside = folders(self._path)
        if aside and self.file.head("damage") is None:
            damage = f"an earlier outbox file was damaged; set aside as {aside[-1].name}"
            self.file.execute("UPDATE head SET damage = ?", (damage,))


def _anything_at(path: Path) -> bool:
    return path.exists() or path.with_name(f"{path.name}-wal").exists()
