"""Turns one sensor row into the bytes of its records; keeps what the model remembers of each engine."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

import structlog

from edge_agent.clock import is_set
from edge_agent.outbox import StoredState
from edge_agent.seldom import Seldom
from shared.errors import BundleError, RowError
from shared.messages import Flags, Prediction, Telemetry, as_reason, encode
from shared.predictor import EngineState, Outcome, Predictor
from shared.quality import CHANNELS
from shared.rows import SensorRow

NAMED_CHANNELS = 5

log = structlog.get_logger(__name__)


class Records(NamedTuple):
    """What one row gave, encoded; no prediction where it was refused."""

    telemetry: bytes
    prediction: bytes | None


class Engines:
    """The engines of this gateway.

    Args:
        predictor: the loaded model.
        serials: which engines.
        stored: an engine's stored state, None where there is none.
        now: the clock, aware UTC.

    Attributes:
        lost: serials of engines that start afresh, because their stored state is damaged.
    """

    def __init__(
        self,
        predictor: Predictor,
        serials: Iterable[str],
        stored: Callable[[str], StoredState | None],
        now: Callable[[], datetime],
    ) -> None:
        self._predictor = predictor
        self._now = now
        self._known = frozenset(channel.name for channel in predictor.manifest.channels)
        self._unknown_channels = Seldom()
        self._failure = Seldom()
        self.lost: list[str] = []
        self._states = {serial: self._open(serial, stored(serial)) for serial in serials}

    def take(self, row: SensorRow) -> Records:
        """Take one row into its engine's state and make its records.

        Raises:
            RowError: the row cannot be used; the state is as before.
        """
        before = self._states[row.engine].to_bytes()
        try:
            return self._records(row)
        except RowError:
            raise
        except Exception as error:  # a row that the model or the encoder fails on must not stop the agent
            self._states[row.engine] = self._predictor.state_from_bytes(before)
            if self._failure.due(type(error).__name__):
                log.exception("row_failed", engine=row.engine)
            raise RowError(f"engine {row.engine}: no record can be made: {type(error).__name__}: {error}") from error

    def stored(self, serials: Iterable[str]) -> dict[str, bytes]:
        """The states of some engines, to be kept."""
        return {serial: self._states[serial].to_bytes() for serial in serials}

    def _records(self, row: SensorRow) -> Records:
        result = self._predictor.step(self._states[row.engine], row)
        now = self._now()
        telemetry = Telemetry(
            engine=row.engine,
            cycle=row.cycle,
            observed_at=row.observed_at,
            clock_unsynced=not is_set(now),
            channels=self._known_channels(row) if CHANNELS in result.flags else dict(row.channels),
            flags=result.flags,
            refusal=result.refusal and as_reason(result.refusal),
        )
        if result.outcome is None:
            return Records(encode(telemetry), None)
        return Records(encode(telemetry), encode(self._prediction(row, result.flags, result.outcome, now)))

    def _known_channels(self, row: SensorRow) -> dict[str, float | None]:
        """What the model does not know is left out of the record: it may be anything, and any amount of it."""
        unknown = sorted(row.channels.keys() - self._known)
        if self._unknown_channels.due():
            log.warning("unknown_channels_left_out", engine=row.engine, channels=_some(unknown))
        return {name: value for name, value in row.channels.items() if name in self._known}

    def _prediction(self, row: SensorRow, flags: Flags, outcome: Outcome, now: datetime) -> Prediction:
        return Prediction(
            engine=row.engine,
            cycle=row.cycle,
            observed_at=row.observed_at,
            predicted_at=now,
            rul_cycles=outcome.rul_cycles,
            cap_cycles=self._predictor.manifest.cap_cycles,
            model=self._predictor.model_ref,
            runtime=self._predictor.runtime,
            window=outcome.window,
            flags=flags,
            input=outcome.input,
        )

    def _open(self, serial: str, stored: StoredState | None) -> EngineState:
        """The stored state, or that of an engine without rows: better a short window than no agent."""
        model = self._predictor.model_ref
        if stored is None:
            return self._predictor.new_state()
        if stored.model_sha256 != model.sha256:
            log.warning(
                "engine_starts_anew",
                engine=serial,
                reason="the model has changed; the new one knows only rows to come, as of an engine that starts late",
                old_model_sha256=stored.model_sha256,
                model=f"{model.name}@{model.version}",
                model_sha256=model.sha256,
            )
            return self._predictor.new_state()
        try:
            return self._predictor.state_from_bytes(stored.state)
        except BundleError as error:
            log.warning("engine_state_lost", engine=serial, reason=str(error))
            self.lost.append(serial)
            return self._predictor.new_state()


def _some(names: list[str]) -> str:
    named = ", ".join(names[:NAMED_CHANNELS])
    return named if len(names) <= NAMED_CHANNELS else f"{named} and {len(names) - NAMED_CHANNELS} more"
