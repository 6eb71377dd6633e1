"""The data loggers of the played engines: each appends C-MAPSS lines to a file that an agent follows."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from simulators.engines import PlayedEngine, PlayedRow
from simulators.truth import TruthFile, TruthRow


class DataLogger:
    """The data logger of one engine.

    Attributes:
        engine: whose it is.
        emitted: how many rows it has written.
        last: the last one.
        ended: whether there are no more.
    """

    def __init__(self, engine: PlayedEngine, file: BinaryIO) -> None:
        self.engine = engine
        self.emitted = 0
        self.last: PlayedRow | None = None
        self.ended = False
        self._file = file

    @property
    def failed(self) -> bool:
        """Whether the engine has reached its failure, after which it gives no more rows."""
        return self.last is not None and self.last.rul_cycles == 0

    def emit(self, live_cycles: int) -> list[PlayedRow]:
        """Write what is due once the play has gone on for so many cycles; returns it."""
        due = max(0, self.engine.past_rows + live_cycles - self.emitted)
        rows = list(islice(self.engine.rows, due))
        if rows:
            self._file.write("".join(f"{row.line}\n" for row in rows).encode("ascii"))
        self.emitted += len(rows)
        self.last = rows[-1] if rows else self.last
        self.ended = self.ended or len(rows) < due or self.failed
        return rows


class Emitter:
    """All data loggers of a play, and the account of what they emit.

    Args:
        engines: each engine with the file its rows go to.
        truth: where to write the account.
        now: the clock, aware UTC.
    """

    def __init__(self, engines: Iterable[tuple[PlayedEngine, Path]], truth: Path, now: Callable[[], datetime]) -> None:
        self._now = now
        with ExitStack() as files:
            self._truth = files.enter_context(TruthFile[TruthRow](truth))
            self.loggers = [
                DataLogger(engine, files.enter_context(path.open("ab", buffering=0))) for engine, path in engines
            ]
            self._files = files.pop_all()

    @property
    def emitted(self) -> int:
        """How many rows all of them have written."""
        return sum(logger.emitted for logger in self.loggers)

    @property
    def ended(self) -> bool:
        """Whether no engine has any more rows."""
        return all(logger.ended for logger in self.loggers)

    def emit(self, live_cycles: int) -> None:
        """Let every engine write what is due; 0 cycles is what it has behind it when the play starts."""
        at = self._now()
        for logger in self.loggers:
            rows = logger.emit(live_cycles)
            if rows:
                self._truth.append(TruthRow(logger.engine.serial, row.cycle, row.rul_cycles, at) for row in rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()
