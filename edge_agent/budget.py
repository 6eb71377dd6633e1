"""The data budget of a day (UTC): how much of it is spent, and what waits for the next day when little is left."""

import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import structlog

from edge_agent.seldom import Seldom
from shared.messages import BudgetStatus, Waits

BUDGET_FILE = "budget.json"
TELEMETRY_SHARE = 0.7
BACKLOG_SHARE = 0.85
# After a kill, so much at most counts as spent that was not.
STEP_SHARE = 0.001
RARER = 10
RAREST_S = 3600.0
DAY_S = 86_400.0

log = structlog.get_logger(__name__)


def waits_at(spent_bytes: int, day_bytes: int) -> Waits:
    """What waits when so much of a day's bytes is spent.

    >>> [waits_at(spent, 100) for spent in (69, 70, 85, 100)]
    ['nothing', 'telemetry', 'backlog', 'records']
    """
    if spent_bytes < TELEMETRY_SHARE * day_bytes:
        return "nothing"
    if spent_bytes < BACKLOG_SHARE * day_bytes:
        return "telemetry"
    return "backlog" if spent_bytes < day_bytes else "records"


def heartbeat_interval_at(waits: Waits, interval_s: float) -> float:
    """How often a heartbeat is promised instead of every ``interval_s`` seconds.

    >>> heartbeat_interval_at("telemetry", 15.0), heartbeat_interval_at("records", 15.0)
    (150.0, 3600.0)
    """
    if waits == "nothing":
        return interval_s
    return RAREST_S if waits == "records" else min(RAREST_S, RARER * interval_s)


class _Kept(msgspec.Struct, frozen=True):
    """What outlasts the agent: no less than was spent on that day."""

    day: date
    spent_bytes: int


class Budget:
    """Counts what goes over the line against what may go in a day.

    The count outlasts restarts, also by a kill; what only a power cut can take is that of the last seconds. A day ends
    when the clock says a later date, or after 24 hours of running: a clock that was set back makes none longer.

    Args:
        day_bytes: what may go in a day, in both directions; None for as much as there is, and nothing is counted.
        folder: where the count is kept.
        traffic_bytes: what went over the line since the agent was started.
        now_s: the wall clock, Unix time in seconds; it may jump.
        monotonic_s: a clock that only goes forward, in seconds.
    """

    def __init__(
        self,
        day_bytes: int | None,
        folder: Path,
        *,
        traffic_bytes: Callable[[], int],
        now_s: Callable[[], float],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._day_bytes = day_bytes
        self._path = folder / BUDGET_FILE
        self._traffic_bytes = traffic_bytes
        self._now_s = now_s
        self._monotonic_s = monotonic_s
        self._unwritable = Seldom(monotonic_s)
        kept = None if day_bytes is None else self._read()
        self._begin(kept or _Kept(self._today(), 0))
        self._told: Waits = "nothing"

    @property
    def waits(self) -> Waits:
        """What waits for the next day."""
        return "nothing" if self._day_bytes is None else waits_at(self._spent_bytes(), self._day_bytes)

    @property
    def status(self) -> BudgetStatus | None:
        """What is told of it; None where there is no budget."""
        if self._day_bytes is None:
            return None
        return BudgetStatus(day_bytes=self._day_bytes, spent_bytes=self._spent_bytes(), waits=self.waits)

    def lets_go(self, *, live: bool) -> bool:
        """Whether records may be sent, of the newest or of the backlog."""
        return self.waits != "records" if live else self.waits in ("nothing", "telemetry")

    def room_bytes(self) -> int:
        """How much may be sent before something more waits; at least 1."""
        if self._day_bytes is None:
            return sys.maxsize
        spent, limits = self._spent_bytes(), [share * self._day_bytes for share in (TELEMETRY_SHARE, BACKLOG_SHARE, 1)]
        return max(1, min((int(limit) - spent for limit in limits if spent < limit), default=1))

    def keep(self) -> None:
        """Begin a new day where one is due, keep the count, and tell what waits, once; to be called now and then."""
        if self._day_bytes is None:
            return
        if self._today() > self._day or self._monotonic_s() - self._began_s >= DAY_S:
            self._begin(_Kept(self._today(), 0))
        if self._spent_bytes() >= self._kept_bytes:
            self._write(self._spent_bytes() + max(1, int(STEP_SHARE * self._day_bytes)))
        if self.waits != self._told:
            tell = log.info if self.waits == "nothing" else log.warning
            tell("budget", waits=self.waits, spent_bytes=self._spent_bytes(), day_bytes=self._day_bytes)
            self._told = self.waits

    def close(self) -> None:
        """Keep what was spent to the byte."""
        if self._day_bytes is not None:
            self._write(self._spent_bytes())

    def _today(self) -> date:
        return datetime.fromtimestamp(self._now_s(), UTC).date()

    def _spent_bytes(self) -> int:
        return self._before_bytes + self._traffic_bytes() - self._mark_bytes

    def _begin(self, kept: _Kept) -> None:
        self._day, self._before_bytes = kept.day, kept.spent_bytes
        self._kept_bytes = 0
        self._mark_bytes = self._traffic_bytes()
        self._began_s = self._monotonic_s()

    def _read(self) -> _Kept | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("budget_file_not_read", reason=str(error), instead="nothing counts as spent")
            return None

    def _write(self, spent_bytes: int) -> None:
        """Replace the file in one step; not fsynced, as only a power cut loses what the system has."""
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_bytes(msgspec.json.encode(_Kept(self._day, spent_bytes)))
            os.replace(fresh, self._path)
        except OSError as error:
            if self._unwritable.due(str(error)):
                log.warning("budget_file_not_written", reason=str(error))
        else:
            self._kept_bytes = spent_bytes
            self._unwritable.over()
