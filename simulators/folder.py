"""The folder of a play: truth, rows, outboxes, store and logs, kept until the next play."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared.errors import SpoolwatchError

MARKER = ".spoolwatch-play"


@dataclass(frozen=True, slots=True)
class PlayFolder:
    """Where each thing of a play lies."""

    path: Path

    @property
    def truth(self) -> Path:
        """What was emitted, as JSON lines."""
        return self.path / "truth.jsonl"

    @property
    def logs(self) -> Path:
        """One log per program."""
        return self.path / "logs"

    @property
    def aggregator(self) -> Path:
        """The aggregator's own folder."""
        return self.path / "aggregator"

    @property
    def store(self) -> Path:
        """The aggregator's SQLite store."""
        return self.aggregator / "store.db"

    def rows(self, gateway: str) -> Path:
        """The file that the data logger of a gateway's engine appends to."""
        return self.path / "rows" / f"{gateway}.txt"

    @property
    def agents(self) -> Path:
        """One folder per gateway, with its agent's settings and outbox."""
        return self.path / "agents"

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Clear what an earlier play left here and keep other plays out meanwhile.

        Raises:
            SpoolwatchError: the folder holds something else, cannot be written, or another play is using it.
        """
        with ExitStack() as opened:
            try:
                self._check_ours()
                self.path.mkdir(parents=True, exist_ok=True)
                marker = opened.enter_context((self.path / MARKER).open("wb"))
                self._lock(marker.fileno())
                self._clear()
            except OSError as error:
                raise SpoolwatchError(f"cannot use {self.path} for the play's data: {error}") from error
            yield

    def _check_ours(self) -> None:
        if self.path.exists() and any(self.path.iterdir()) and not (self.path / MARKER).exists():
            raise SpoolwatchError(
                f"{self.path} is not empty and not from an earlier play (it has no {MARKER}); "
                "empty it yourself or choose another folder with --data-dir"
            )

    def _lock(self, marker: int) -> None:
        try:
            fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SpoolwatchError(
                f"another play is using {self.path}; end it or choose another folder with --data-dir"
            ) from error

    def _clear(self) -> None:
        for entry in self.path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != MARKER:
                entry.unlink()
        for folder in (self.logs, self.aggregator, self.agents, self.path / "rows"):
            folder.mkdir()
