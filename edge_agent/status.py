"""What the agent says of itself: to the centre over MQTT, and to people on the box through a file."""

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import msgspec
import structlog

from edge_agent.budget import heartbeat_interval_at
from edge_agent.centre import SKEW_MAX_S
from edge_agent.outbox import Outbox, OutboxError
from edge_agent.outbox.rate import Rate
from edge_agent.troubles import Trouble
from shared.errors import SpoolwatchError
from shared.messages import (
    BudgetStatus,
    Flags,
    ModelRef,
    Prediction,
    RulCycles,
    Session,
    SourceStatus,
    Status,
    StatusEvent,
    Traffic,
    Utc,
    as_reason,
)

STATUS_FILE = "status.json"
OUTBOX_FILE = "outbox.db"
RING_FILE = "samples.db"
LOCK_FILE = "lock"
STATUS_FILE_INTERVAL_S = 10.0
"""Each time costs flash some pages, the file system's own among them."""

log = structlog.get_logger(__name__)


class StatusFileError(SpoolwatchError):
    """The status file is there and cannot be read."""


class SourceGauge:
    """How the sensor source is doing: the pipeline writes it, status messages read it.

    Attributes:
        status: what is told.
        predictions: made of its rows since the start of the agent.

    Args:
        kind: the source's ``kind`` setting.
        refused_rows: rows set aside so far.
        clock_s: a monotonic clock.
    """

    def __init__(self, kind: str, refused_rows: int = 0, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.status = SourceStatus(kind=kind, state="waiting", refused_rows=refused_rows)
        self.predictions = 0
        self._has_failed = False
        self._rate = Rate(clock_s)

    def rows_per_s(self) -> float:
        """Rows accepted per second, over the last ten minutes or since the start."""
        return self._rate.per_s()[0]

    def note(self, *, last_error: str | None = None, **changes: object) -> None:
        """Change some of the fields; the last error stays until there is another, and says when a failure is over."""
        before = self.status.rows
        self.status = msgspec.structs.replace(self.status, **changes)
        self._rate.note(self.status.rows - before, 0)
        if last_error is None and self._has_failed and self.status.state in ("reading", "ended"):
            last_error = f"over: {self.status.last_error}"
        if last_error is not None:
            self.status = msgspec.structs.replace(self.status, last_error=as_reason(last_error))
        is_waiting = self.status.state == "waiting"
        self._has_failed = self.status.state == "failed" or (is_waiting and (self._has_failed or bool(last_error)))


class EngineView(msgspec.Struct, frozen=True, kw_only=True):
    """One engine as the agent sees it: its latest prediction, or why there is none."""

    serial: str
    cycle: int | None = None
    observed_at: Utc | None = None
    rul_cycles: RulCycles | None = None
    cap_cycles: float | None = None
    flags: Flags = {}
    reason: str | None = None


class LinkView(msgspec.Struct, frozen=True, kw_only=True):
    """The way to the centre as the agent sees it.

    Attributes:
        summary: in one line, for people.
        is_up: whether the broker lets us in.
        parked: records that get no answer even alone.
        traffic: what went over it since the agent was started.
        budget: what may go over it today, if there is a limit.
        clock_skew_s: how far this box's clock is ahead of the centre's, plus the way here; None where nobody knows.
    """

    summary: str
    is_up: bool = False
    parked: int = 0
    traffic: Traffic | None = None
    budget: BudgetStatus | None = None
    clock_skew_s: float | None = None

    def told_in(self, status: Status) -> Status:
        """The status with what only the link knows."""
        interval_s = status.heartbeat_interval_s
        return msgspec.structs.replace(
            status,
            outbox=msgspec.structs.replace(status.outbox, parked=self.parked),
            traffic=self.traffic,
            budget=self.budget,
            heartbeat_interval_s=heartbeat_interval_at(self.budget.waits, interval_s) if self.budget else interval_s,
        )


class LocalStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The status file: the last status message, the link as the agent sees it, rows per second and the engines.

    ``rows_per_s`` is over the last ten minutes, or since the start of the agent, as ``predictions`` are.
    ``clock_is_off`` where ``clock_skew_s`` is more than what the doctor lets pass.
    """

    written_at: Utc
    link: str
    is_up: bool = False
    status: Status
    rows_per_s: float = 0.0
    predictions: int = 0
    clock_skew_s: float | None = None
    clock_is_off: bool = False
    engines: list[EngineView] = []
    troubles: Sequence[Trouble] = ()


class StatusBoard:
    """Makes this gateway's status messages.

    Attributes:
        told: how it last was, None before the first look; may be read by any thread.

    Args:
        outbox: whose stream and fill level are told.
        session: this start of the agent.
        engines: serials of this gateway's engines.
        model: the loaded model.
        heartbeat_interval_s: how often a heartbeat is promised.
        source: how the sensor source is doing.
        now: the clock, aware UTC.
        latest: by serial the latest prediction, or why there is none.
        troubles: what was last warned of, the newest first.
        monotonic_s: a clock that only goes forward, in seconds.
    """

    def __init__(
        self,
        outbox: Outbox,
        session: Session,
        engines: list[str],
        model: ModelRef,
        heartbeat_interval_s: float,
        *,
        source: SourceGauge,
        now: Callable[[], datetime],
        latest: Callable[[], Mapping[str, Prediction | str]] = dict,
        troubles: Callable[[], Sequence[Trouble]] = tuple,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox = outbox
        self._latest = latest
        self._session = session
        self._engines = engines
        self._model = model
        self._heartbeat_interval_s = heartbeat_interval_s
        self._source = source
        self._now = now
        self._troubles = troubles
        self._monotonic_s = monotonic_s
        self._writable = True
        self._written_s = -math.inf
        self.told: LocalStatus | None = None

    def message(self, event: StatusEvent) -> Status:
        """The status as of now."""
        return Status(
            event=event,
            session=self._session,
            stream_id=self._outbox.stream_id,
            next_seq=self._outbox.next_seq,
            sent_at=self._now(),
            heartbeat_interval_s=self._heartbeat_interval_s,
            agent_version=version("spoolwatch"),
            engines=self._engines,
            model=self._model,
            source=self._source.status,
            outbox=self._outbox.status(),
        )

    def keep(self, folder: Path, link: LinkView) -> None:
        """Look how it is; write that where something has changed that people act on, or after ten seconds."""
        before = self.told
        told = self._look(link)
        if told is None:
            return
        due_s = STATUS_FILE_INTERVAL_S if before is not None and _acted_on(before) == _acted_on(told) else 0.0
        if self._monotonic_s() - self._written_s >= due_s:
            self._write(folder, told)

    def write(self, folder: Path, link: LinkView) -> None:
        """Look how it is and write that."""
        told = self._look(link)
        if told is not None:
            self._write(folder, told)

    def _look(self, link: LinkView) -> LocalStatus | None:
        try:
            self.told = LocalStatus(
                written_at=self._now(),
                link=link.summary,
                is_up=link.is_up,
                status=link.told_in(self.message("heartbeat")),
                rows_per_s=self._source.rows_per_s(),
                predictions=self._source.predictions,
                clock_skew_s=link.clock_skew_s,
                clock_is_off=abs(link.clock_skew_s or 0.0) > SKEW_MAX_S,
                engines=[_view(serial, latest) for serial, latest in self._latest().items()],
                troubles=self._troubles(),
            )
        except OutboxError as error:
            self._not_written(error)
            return None
        return self.told

    def _write(self, folder: Path, told: LocalStatus) -> None:
        """Replace the status file in one step, so that a reader never sees half of it; a full disk keeps the last."""
        fresh = folder / f"{STATUS_FILE}.new"
        try:
            fresh.write_bytes(msgspec.json.encode(told))
            os.replace(fresh, folder / STATUS_FILE)
        except OSError as error:
            self._not_written(error)
        else:
            self._writable = True
            self._written_s = self._monotonic_s()

    def _not_written(self, error: Exception) -> None:
        if self._writable:
            log.warning("status_file_not_written", reason=str(error))
        self._writable = False


def _acted_on(told: LocalStatus) -> object:
    budget, source = told.status.budget, told.status.source
    return told.link, told.clock_is_off, source.state, source.last_error, budget and budget.waits


def _view(serial: str, latest: Prediction | str) -> EngineView:
    if isinstance(latest, str):
        return EngineView(serial=serial, reason=latest)
    return EngineView(
        serial=serial,
        cycle=latest.cycle,
        observed_at=latest.observed_at,
        rul_cycles=latest.rul_cycles,
        cap_cycles=latest.cap_cycles,
        flags=latest.flags,
    )


def read_local_status(folder: Path) -> LocalStatus | None:
    """The status file as last written, or None where there is none.

    Raises:
        StatusFileError: it cannot be read, or is not what this version of the agent writes.
    """
    path = folder / STATUS_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=LocalStatus)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StatusFileError(f"{path} cannot be read: {error}") from error
