"""First loop of the agent: source → cycle rows → predictor → outbox; batches close together share one commit.

Samples are durable in the ring before what they gave is accepted by the outbox, together with the place up to which
they are done with. So a crash at any point costs no sample that is durable, and no cycle gives its row twice.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from edge_agent.cycle_settings import RingSettings
from edge_agent.engines import Engines, nothing_known
from edge_agent.outbox import Outbox, OutboxError
from edge_agent.ports import Batch, RefusedRow, SensorSource
from edge_agent.reduction import Reduction
from edge_agent.seldom import Seldom
from edge_agent.settings import OutboxSettings
from edge_agent.status import SourceGauge
from shared import cancellation
from shared.desired import DesiredEngine
from shared.errors import RowError, SourceError
from shared.messages import Prediction, as_reason
from shared.predictor import Predictor
from shared.rows import SensorRow

PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
PROGRESS_S = 1.0
STALLED_S = 60.0
STEP_SAMPLES = 5000

_RING = RingSettings()

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Step:
    """Batches turned into what the outbox takes in one transaction."""

    batches: list[Batch] = field(default_factory=list)
    cursor: str | None = None
    rows: int = 0
    samples: int = 0
    is_urgent: bool = False
    telemetry: list[bytes] = field(default_factory=list)
    predictions: list[bytes] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    refused: list[RefusedRow] = field(default_factory=list)

    @property
    def is_only_samples(self) -> bool:
        """Whether there is nothing in it for the outbox."""
        return self.cursor is None and self.rows == 0 and not self.ended


class Pipeline:
    """Turns sensor rows into durable telemetry and prediction records.

    Args:
        source: where rows come from.
        predictor: the loaded model.
        outbox: where records become durable.
        engines: serials of this gateway's engines.
        gauge: where the state of the source is noted.
        accepted: called after each batch that became durable.
        progress: called at least once a second while the loop is alive.
        now: the clock, aware UTC.
        commit: after how many rows or milliseconds a commit is due.
        reduction: makes cycle rows of samples.
        ring: after how many milliseconds a commit of samples is due that give no row.
        desired: what the centre says of an engine, None where it has said nothing.
    """

    def __init__(
        self,
        source: SensorSource,
        predictor: Predictor,
        outbox: Outbox,
        engines: Iterable[str],
        gauge: SourceGauge,
        *,
        accepted: Callable[[], None],
        progress: Callable[[], None],
        now: Callable[[], datetime],
        commit: OutboxSettings,
        reduction: Reduction,
        ring: RingSettings = _RING,
        desired: Callable[[str], DesiredEngine | None] = nothing_known,
    ) -> None:
        self._source = source
        self._outbox = outbox
        self._accepted = accepted
        self._progress = progress
        self._now = now
        self._engines = Engines(predictor, engines, outbox.engine_state, self._now, desired)
        self._gauge = gauge
        if self._engines.lost:
            what = f"stored state of {', '.join(self._engines.lost)} damaged; predictions start from new rows"
            gauge.note(last_error=what)
        self._commit_rows = commit.commit_rows
        self._commit_interval_s = commit.commit_interval_ms / 1000
        self._ring_interval_s = ring.commit_interval_ms / 1000
        self._committed_at_s = -math.inf
        self._reduction = reduction
        self._failures = 0
        self._step = _Step()
        self._restart = asyncio.Event()
        self._heard_at_s = time.monotonic()
        self._source_failure = Seldom()
        self._write_failure = Seldom()

    def latest(self) -> dict[str, Prediction | str]:
        """By serial the prediction after the latest row, or why there is none."""
        return self._engines.latest()

    def predict(self, serial: str, request_id: str) -> None:
        """Predict an engine once more after its latest row, in a durable record that names the request.

        Raises:
            RowError: there is nothing to predict it from.
            OutboxError: the record cannot be stored.
        """
        record = self._engines.predict_again(serial, request_id)
        if not self._try_commit():  # its row comes first
            raise OutboxError("the outbox takes no records now")
        self._outbox.accept([], [record], at=self._now().timestamp())
        self._accepted()

    def restart_source(self) -> None:
        """Close the source soon, and open it anew where reading goes on, also one that has ended."""
        self._restart.set()

    async def run(self) -> None:
        """Read until cancelled; a failing source is opened again after a pause, one that has ended is left alone."""
        await self._build_up_again()
        ended = False
        while True:
            if self._restart.is_set():
                self._restart.clear()
                log.info("source_restarts")
                ended = False
            ended = ended or await self._read()
            await self._pause()

    async def _build_up_again(self) -> None:
        """Bring the cycles that were in work to where they were when the last agent ended."""
        for rows in self._reduction.built_up_again():
            self._take_rows(rows, self._step)
            self._progress()
            await asyncio.sleep(0)
        await self._commit()

    async def _pause(self) -> None:
        """Wait until the source may be opened again, longer after each failure in a row."""
        pause_s = min(LONGEST_PAUSE_S, PAUSE_S * 2 ** max(0, min(self._failures, 16) - 1))
        until_s = time.monotonic() + pause_s
        while True:
            self._progress()
            left_s = until_s - time.monotonic()
            if self._restart.is_set():
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0, min(left_s, PAUSE_S))):
                    await self._restart.wait()
            if left_s <= PAUSE_S:
                return

    async def _read(self) -> bool:
        try:
            async with aclosing(self._source.batches(self._outbox.cursor)) as batches:
                await self._take_all(batches)
        except SourceError as error:
            await self._commit()
            self._failures += 1
            self._gauge.note(state="failed", last_error=str(error))
            if self._source_failure.due(str(error)):
                log.warning("source_failed", reason=str(error), failures_in_a_row=self._failures)
            return False
        await self._commit()
        if self._restart.is_set():
            return False
        self._gauge.note(state="ended")
        log.info("source_ended", rows=self._gauge.status.rows)
        return True

    async def _take_all(self, batches: AsyncIterator[Batch]) -> None:
        """Gather batches until a commit is due; after a pause it is due at once, so a lone row does not wait."""
        upcoming = asyncio.ensure_future(anext(batches, None))
        restart = asyncio.ensure_future(self._restart.wait())
        asked_at_s = time.monotonic()
        try:
            while not restart.done():
                timeout_s = min(self._due_in_s(), PROGRESS_S)
                await asyncio.wait({upcoming, restart}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
                self._progress()
                if not upcoming.done() and time.monotonic() - asked_at_s > STALLED_S:
                    raise SourceError(
                        f"the source hangs: no word of it for {STALLED_S:g} s, not even that nothing came"
                    )
                if upcoming.done():
                    batch = upcoming.result()
                    if batch is None:
                        return
                    self._prepare(batch)
                    asked_at_s = time.monotonic()
                    upcoming = asyncio.ensure_future(anext(batches, None))
                if self._due_in_s() == 0:
                    await self._commit()
        except asyncio.CancelledError:
            self._try_commit()  # a stop on purpose costs no source its rows
            raise
        finally:
            await cancellation.end(upcoming, restart)

    def _due_in_s(self) -> float:
        """How long the step may wait for more rows; for ever while there is nothing to commit."""
        step = self._step
        if not step.batches and not step.ended:
            return math.inf
        if step.rows >= self._commit_rows or step.samples >= STEP_SAMPLES:
            return 0
        interval_s = self._commit_interval_s if step.is_urgent else self._ring_interval_s
        return max(0, self._committed_at_s + interval_s - time.monotonic())

    async def _commit(self) -> None:
        while not self._try_commit():
            await asyncio.sleep(PAUSE_S)
            self._progress()

    def _try_commit(self) -> bool:
        if not self._step.batches and not self._step.ended:
            return True
        if not self._store(self._step):
            return False
        step, self._step = self._step, _Step()
        self._committed_at_s = time.monotonic()
        for batch in step.batches:
            self._source.accepted(batch)
        self._accepted()
        return True

    def _prepare(self, batch: Batch) -> None:
        self._failures = 0
        step = self._step
        self._take_rows(self._reduction.fallen_silent(), step)
        if not batch.readings:
            self._note_silence()
            return
        self._heard_at_s = time.monotonic()
        step.batches.append(batch)
        step.cursor = batch.cursor
        for reading in batch.readings:
            if isinstance(reading, SensorRow):
                step.rows += 1
                self._predict(reading, step)
            elif isinstance(reading, RefusedRow):
                step.rows += 1
                _refuse(step, reading.raw, reading.reason)
            else:
                step.samples += 1
                self._take_rows(self._reduction.take(reading), step)
        # Who waits for us sends no more before it is answered.
        step.is_urgent |= step.rows > 0 or bool(batch.receipts)

    def _take_rows(self, rows: Iterable[SensorRow], step: _Step) -> None:
        """Take the rows of cycles that have ended."""
        for row in rows:
            step.is_urgent = True
            step.ended.add(row.engine)
            self._predict(row, step)

    def _note_silence(self) -> None:
        """Tell of hardware that is in reach again, or in reach and silent."""
        if self._gauge.status.state == "failed":
            self._gauge.note(state="waiting")
            self._heard_at_s = time.monotonic()
        elif time.monotonic() - self._heard_at_s >= self._reduction.quiet_s:
            self._heard_at_s = math.inf
            what = f"the hardware is in reach and has given nothing for {self._reduction.quiet_s:g} s"
            self._gauge.note(state="waiting", last_error=what)
            log.warning("source_silent", reason=what)

    def _predict(self, row: SensorRow, step: _Step) -> None:
        try:
            records = self._engines.take(row)
        except RowError as error:
            _refuse(step, row.raw, str(error))
            return
        step.touched.add(row.engine)
        step.telemetry.append(records.telemetry)
        if records.prediction is not None:
            step.predictions.append(records.prediction)

    def _store(self, step: _Step) -> bool:
        try:
            self._reduction.commit()
            if step.is_only_samples:
                self._count(step)
                return True
            self._outbox.accept(
                step.telemetry,
                step.predictions,
                cursor=step.cursor,
                states=self._engines.stored(step.touched),
                places=self._reduction.places(step.ended),
                refused=step.refused,
                at=self._now().timestamp(),
            )
        except OutboxError as error:
            if self._write_failure.due(str(error)):
                log.warning("outbox_write_failed", reason=str(error), retry_after_s=PAUSE_S)
            self._gauge.note(state="failed", last_error=str(error))
            return False
        if self._write_failure.over():
            log.info("outbox_written_again")
        self._count(step)
        return True

    def _count(self, step: _Step) -> None:
        if self._source_failure.over():
            log.info("source_recovered")
        self._gauge.predictions += len(step.predictions)
        if step.refused:
            log.warning("rows_refused", rows=len(step.refused), first_reason=step.refused[0].reason)
        self._gauge.note(
            state="reading",
            samples=self._gauge.status.samples + step.samples,
            dropped_samples=self._reduction.dropped_samples,
            rows=self._gauge.status.rows + len(step.telemetry),
            refused_rows=self._gauge.status.refused_rows + len(step.refused),
            last_row_at=self._now() if step.telemetry or step.refused else self._gauge.status.last_row_at,
            last_error=step.refused[-1].reason if step.refused else None,
        )


def _refuse(step: _Step, raw: bytes, reason: str) -> None:
    step.refused.append(RefusedRow(raw, as_reason(reason)))
