"""Turns one sensor row into the bytes of its records; keeps what the model remembers of each engine."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import structlog
from msgspec.structs import replace

from edge_agent.footing import Footing, recount
from edge_agent.outbox import StoredState
from edge_agent.seldom import Seldom
from shared.clock import is_set
from shared.desired import DesiredEngine
from shared.errors import BundleError, RowError
from shared.messages import Flags, Prediction, Telemetry, as_reason, encode
from shared.predictor import EngineState, Outcome, Predictor
from shared.quality import CHANNELS
from shared.rows import SensorRow
from shared.seeding import seeded_state

NAMED_CHANNELS = 5

log = structlog.get_logger(__name__)


class Records(NamedTuple):
    """What one row gave, encoded; no prediction where it was refused."""

    telemetry: bytes
    prediction: bytes | None


def nothing_known(_serial: str) -> None:
    """What a centre that never said anything says of an engine."""


@dataclass(slots=True)
class _Watched:
    """One engine: its state, what that stands on, and what the centre had said by then.

    ``latest`` is the prediction after its latest row, or why there is none.
    """

    state: EngineState
    footing: Footing
    desired: DesiredEngine | None = None
    latest: Prediction | str = "no row of it has come since the agent was started"


class Engines:
    """The engines of this gateway.

    Args:
        predictor: the loaded model.
        serials: which engines.
        stored: an engine's stored state, None where there is none.
        now: the clock, aware UTC.
        desired: what the centre says of an engine, None where it has said nothing.

    Attributes:
        lost: serials of engines that start afresh, because their stored state is damaged.
    """

    def __init__(
        self,
        predictor: Predictor,
        serials: Iterable[str],
        stored: Callable[[str], StoredState | None],
        now: Callable[[], datetime],
        desired: Callable[[str], DesiredEngine | None] = nothing_known,
    ) -> None:
        self._predictor = predictor
        self._now = now
        self._desired = desired
        self._known = frozenset(channel.name for channel in predictor.manifest.channels)
        self._unknown_channels = Seldom()
        self._failure = Seldom()
        self.lost: list[str] = []
        self._engines = {serial: self._open(serial, stored(serial)) for serial in serials}

    def take(self, row: SensorRow) -> Records:
        """Take one row into its engine's state and make its records.

        Raises:
            RowError: the row cannot be used; the state is as before.
        """
        engine = self._engines[row.engine]
        self._follow(engine, row)
        before = engine.state.to_bytes()
        try:
            return self._records(engine, row)
        except RowError as error:
            base = engine.footing.base_cycles
            raise RowError(f"{error} ({base} more than the source says)") if base else error from None
        except Exception as error:  # a row that the model or the encoder fails on must not stop the agent
            engine.state = self._predictor.state_from_bytes(before)
            if self._failure.due(type(error).__name__):
                log.exception("row_failed", engine=row.engine)
            raise RowError(f"engine {row.engine}: no record can be made: {type(error).__name__}: {error}") from error

    def latest(self) -> dict[str, Prediction | str]:
        """By serial the prediction after the latest row, or why there is none."""
        return {serial: engine.latest for serial, engine in self._engines.items()}

    def predict_again(self, serial: str, request_id: str) -> bytes:
        """Predict an engine once more after its latest row, because the centre asks for it; the encoded record.

        Raises:
            RowError: there is nothing to predict it from.
        """
        engine = self._engines.get(serial)
        if engine is None:
            raise RowError(f"engine {serial} is not watched by this gateway")
        if isinstance(engine.latest, str):
            raise RowError(f"engine {serial}: {engine.latest}")
        rul_cycles = self._predictor.predict_input(engine.latest.input, engine.latest.flags)
        asked = {"origin": "command", "request_id": request_id, "predicted_at": self._now()}
        return encode(replace(engine.latest, rul_cycles=rul_cycles, **asked))

    def stored(self, serials: Iterable[str]) -> dict[str, StoredState]:
        """The states of some engines, to be kept."""
        sha256 = self._predictor.model_ref.sha256
        engines = ((serial, self._engines[serial]) for serial in serials)
        return {
            serial: StoredState(sha256, engine.state.to_bytes(), engine.footing.to_bytes())
            for serial, engine in engines
        }

    def _follow(self, engine: _Watched, row: SensorRow) -> None:
        """Begin anew or count anew where the centre has said so and the row is one of those that it means."""
        desired = self._desired(row.engine)
        old = engine.footing
        if desired is engine.desired or desired is None or not old.reaches(desired, row, self._now()):
            return
        engine.desired, engine.footing = desired, Footing.on(desired)
        if engine.footing == old:
            return
        if old.carries(desired):
            recount(self._predictor, engine.state, old, engine.footing)
        else:
            engine.state = seeded_state(self._predictor, desired)
        log.info(
            "engine_follows_centre",
            engine=row.engine,
            from_cycle=row.cycle,
            installation_id=desired.installation_id,
            maintenance_epoch=desired.maintenance_epoch,
            base_cycles=desired.base_cycles,
            age_known=engine.footing.age_known,
            seed_rows=0 if desired.seed is None else len(desired.seed.rows),
        )

    def _records(self, engine: _Watched, row: SensorRow) -> Records:
        footing = engine.footing
        result = self._predictor.step(engine.state, footing.counted(row), age_known=footing.age_known)
        now = self._now()
        telemetry = Telemetry(
            engine=row.engine,
            installation_id=footing.installation_id,
            cycle=row.cycle,
            observed_at=row.observed_at,
            clock_unsynced=not is_set(now),
            channels=self._known_channels(row) if CHANNELS in result.flags else dict(row.channels),
            flags=result.flags,
            refusal=result.refusal and as_reason(result.refusal),
        )
        if result.outcome is None:
            engine.latest = result.refusal or "its latest row gave no prediction"
            return Records(encode(telemetry), None)
        prediction = self._prediction(row, footing.installation_id, result.flags, result.outcome, now)
        engine.latest = prediction
        return Records(encode(telemetry), encode(prediction))

    def _known_channels(self, row: SensorRow) -> dict[str, float | None]:
        """What the model does not know is left out of the record: it may be anything, and any amount of it."""
        unknown = sorted(row.channels.keys() - self._known)
        if self._unknown_channels.due():
            log.warning("unknown_channels_left_out", engine=row.engine, channels=_some(unknown))
        return {name: value for name, value in row.channels.items() if name in self._known}

    def _prediction(
        self, row: SensorRow, installation_id: str | None, flags: Flags, outcome: Outcome, now: datetime
    ) -> Prediction:
        return Prediction(
            engine=row.engine,
            installation_id=installation_id,
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

    def _open(self, serial: str, stored: StoredState | None) -> _Watched:
        """The stored state, or that of an engine without rows: better a short window than no agent."""
        model = self._predictor.model_ref
        fresh = _Watched(self._predictor.new_state(), Footing())
        if stored is None:
            return fresh
        if stored.model_sha256 != model.sha256:
            log.warning(
                "engine_starts_anew",
                engine=serial,
                reason="the model has changed; the new one knows only rows to come, as of an engine that starts late",
                old_model_sha256=stored.model_sha256,
                model=f"{model.name}@{model.version}",
                model_sha256=model.sha256,
            )
            return fresh
        try:
            state = self._predictor.state_from_bytes(stored.state)
        except BundleError as error:
            log.warning("engine_state_lost", engine=serial, reason=str(error))
            self.lost.append(serial)
            return fresh
        return _Watched(state, Footing.from_bytes(stored.footing))


def _some(names: list[str]) -> str:
    named = ", ".join(names[:NAMED_CHANNELS])
    return named if len(names) <= NAMED_CHANNELS else f"{named} and {len(names) - NAMED_CHANNELS} more"
