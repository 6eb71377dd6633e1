"""The live table of a play, and its one-line form where the output is not a terminal."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from shared import wording
from simulators.centre import EngineView, Rul
from simulators.emitter import DataLogger

TABLE_INTERVAL_S = 1.0
LINE_INTERVAL_S = 5.0

_STYLES = {"critical": "bold red", "warning": "yellow", "healthy": "green", "failed": "bold red"}


class LiveView:
    """Shows how the play goes on, as often as a reader can follow.

    Args:
        loggers: what was emitted.
        look: asks the centre for its engines by serial; None while it cannot be asked.
        page: address of the centre's page.
        console: where to write.
    """

    def __init__(
        self,
        loggers: Sequence[DataLogger],
        look: Callable[[], Mapping[str, EngineView] | None],
        page: str,
        console: Console,
    ) -> None:
        self._loggers = loggers
        self._look = look
        self._page = page
        self._console = console
        self._views: Mapping[str, EngineView] = {}
        self._next_at = 0.0
        self._files = ExitStack()
        self._live = Live(console=console, auto_refresh=False)

    def show(self, phase: str, *, at_once: bool = False) -> None:
        """Show the state of things if it is time again; ``phase`` says what is going on."""
        now = time.monotonic()
        if now < self._next_at and not at_once:
            return
        self._views = self._look() or self._views
        if self._console.is_terminal:
            self._next_at = now + TABLE_INTERVAL_S
            self._live.update(fleet_table(self._loggers, self._views, f"{self._page}   {phase}"), refresh=True)
        else:
            self._next_at = now + LINE_INTERVAL_S
            self._console.print(progress_line(self._loggers, self._views, phase), soft_wrap=True, highlight=False)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._files.enter_context(self._live)
        else:
            self._console.print(f"the page is {self._page}", highlight=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()


def fleet_table(loggers: Sequence[DataLogger], views: Mapping[str, EngineView], title: str) -> Table:
    """One line per engine: what was emitted, and what the centre makes of it."""
    table = Table(title=title, title_justify="left", title_style="", pad_edge=False, box=None)
    for column in ("engine", "cycle", "true RUL", "RUL (5–95 %)", "health", "link", "last record"):
        table.add_column(column, justify="right" if column in ("cycle", "true RUL", "last record") else "left")
    now = datetime.now(UTC)
    for logger in loggers:
        view = views.get(logger.engine.serial, EngineView(logger.engine.serial))
        health = health_text(logger, view)
        table.add_row(
            logger.engine.serial,
            _number(logger.last.cycle if logger.last else None),
            _number(logger.last.rul_cycles if logger.last else None),
            rul_text(view.rul),
            f"[{_STYLES.get(health, 'dim')}]{health}[/]",
            view.link,
            age_text(view.last_record_at, now),
        )
    return table


def progress_line(loggers: Sequence[DataLogger], views: Mapping[str, EngineView], phase: str) -> str:
    """The play in one line."""
    health = Counter(
        health_text(logger, views.get(logger.engine.serial, EngineView(logger.engine.serial))) for logger in loggers
    )
    counts = ", ".join(f"{name} {count}" for name, count in sorted(health.items()))
    rows = sum(logger.emitted for logger in loggers)
    return f"engines {len(loggers)} ({counts}), rows emitted {rows}, {phase}"


def health_text(logger: DataLogger, view: EngineView) -> str:
    """The engine's health band, or ``failed`` once it has reached the end of its life."""
    return "failed" if logger.failed else view.band


def rul_text(rul: Rul | None) -> str:
    """The median and its interval, a dash where there is none yet."""
    return "–" if rul is None else wording.rul_text(rul.q05, rul.q50, rul.q95, rul.cap)


def age_text(then: datetime | None, now: datetime) -> str:
    """How long ago something was, in seconds.

    >>> age_text(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 2, tzinfo=UTC))
    '120 s'
    """
    return "–" if then is None else f"{max(0.0, (now - then).total_seconds()):.0f} s"


def _number(value: int | None) -> str:
    return "–" if value is None else str(value)
