"""Answers who asks for a prediction: at the centre, from rows that they give or from those that are stored."""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import uuid4

from aggregator.access.roles import Caller, Role
from aggregator.inference import Forecast, Inference, RefusedError
from aggregator.released import find_released, model_named
from aggregator.store.database import Store
from aggregator.store.predictions import find_prediction, keep
from aggregator.store.reads import Session
from aggregator.store.reads.engine import EngineDetail, find_engine, find_engine_id
from aggregator.store.reads.history import Span, list_telemetry
from aggregator.store.registry import NoSuchEngineError
from aggregator.store.tables import Model, Prediction, Telemetry
from shared import messages
from shared.errors import RowError, SpoolwatchError
from shared.messages import ModelRef, RulCycles, Window
from shared.replay import Agreement, Replay
from shared.rows import SensorRow

# Of a long life its first rows, which the features compare with, and as many of the last as any feature still feels.
FIRST_ROWS, LAST_ROWS = 100, 2000


class NotPossibleError(SpoolwatchError):
    """As things stand with the engine, nothing can be predicted; says what to do."""


class NoSuchPredictionError(SpoolwatchError):
    """An engine has no prediction of this id."""


class InvalidWishError(SpoolwatchError):
    """What somebody asks with cannot be predicted from; ``field`` is the part that is wrong."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


class GivenRow(NamedTuple):
    """A row that somebody gives; ``observed_at`` is None for the present, a value None where it is missing."""

    cycle: int
    observed_at: datetime | None
    channels: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to have predicted.

    Attributes:
        rows: to predict from, in the place of those that are stored.
        model: ``name`` or ``name@version``; None for the one that last predicted the engine.
    """

    serial: str
    rows: Sequence[GivenRow] | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a wish."""

    request_id: str
    prediction: tuple[Prediction, Model]


@dataclass(frozen=True, slots=True)
class Replayed:
    """A stored prediction made again: how far both agree, the new one, and the old one."""

    agreement: Agreement
    prediction: tuple[Prediction, Model]
    stored: tuple[Prediction, Model]


class Predicting:
    """Predicts what people ask for.

    Args:
        store: where engines and their rows are, and predictions go.
        inference: runs the models.
        now: the clock, aware UTC.
    """

    def __init__(self, store: Store, inference: Inference, now: Callable[[], datetime]) -> None:
        self._store, self._inference, self._now = store, inference, now

    async def answer(self, wish: Wish, *, by: Caller) -> Answer:
        """Predict.

        Raises:
            NoSuchEngineError: there is none where whoever asks is a technician.
            NotPossibleError: the engine hangs nowhere, is retired, or has no rows.
            InvalidWishError: the rows or the model are not good to predict from.
            NotReleasedError: the model that last predicted the engine is not installed here.
            BusyError, BundleError: the centre cannot run models now, or at all.
        """
        request_id = str(uuid4())
        found = await asyncio.to_thread(self._look_up, wish, by)
        try:
            forecast = await self._inference.forecast(found.model, found.rows)
        except (RowError, RefusedError) as error:
            if wish.rows is None:
                raise NotPossibleError(str(error)) from error
            raise InvalidWishError("rows", str(error)) from error
        now = self._now()
        made = _spell(forecast, found.installation_id, request_id, now)
        return Answer(request_id, await asyncio.to_thread(keep, self._store, made, now, by=by))

    async def replay(self, serial: str, id: int, *, by: Caller) -> Replayed:
        """Make a stored prediction again from its input tensor, and store what comes out with the origin ``replay``.

        Raises:
            NoSuchEngineError: there is none where whoever asks is a technician.
            NoSuchPredictionError: the engine has none of this id.
            ReplayError: the model cannot have made it.
            NotReleasedError, BusyError, BundleError: as ``answer`` does.
        """
        stored, model = await asyncio.to_thread(self._find, serial, id, by)
        ref = ModelRef(name=model.name, version=model.version, sha256=model.sha256)
        again, runtime = await self._inference.replay(ref, stored.input, stored.flags, _rul_of(stored))
        now = self._now()
        made = _spell_again(serial, stored, ref, again, runtime, str(uuid4()), now)
        kept = await asyncio.to_thread(keep, self._store, made, now, by=by)
        return Replayed(again.agreement, kept, (stored, model))

    def _find(self, serial: str, id: int, by: Caller) -> tuple[Prediction, Model]:
        sites = by.sites(Role.TECHNICIAN)
        with self._store.session() as session:
            if find_engine_id(session, sites, serial) is None:
                raise NoSuchEngineError(f"engine {serial} is not registered")
            found = find_prediction(session, sites, serial, id)
        if found is None:
            raise NoSuchPredictionError(f"engine {serial} has no prediction {id}")
        return found

    def _look_up(self, wish: Wish, by: Caller) -> "_Found":
        with self._store.session() as session:
            detail = find_engine(session, by.sites(Role.TECHNICIAN), wish.serial)
            if detail is None:
                raise NoSuchEngineError(f"engine {wish.serial} is not registered")
            installation_id = _installation_id(detail)
            model = _model(detail, wish)
            if wish.rows is None:
                return _Found(installation_id, model, _stored(session, detail, installation_id))
        return _Found(installation_id, model, self._given(wish, model))

    def _given(self, wish: Wish, model: ModelRef) -> list[SensorRow]:
        known = {channel.name for channel in find_released(model)[1].channels}
        rows = []
        for number, row in enumerate(wish.rows or ()):
            if unknown := sorted(row.channels.keys() - known):
                reason = f"model {model.name} {model.version} does not know {', '.join(unknown)}"
                raise InvalidWishError(f"rows.{number}.channels", f"{reason}; it knows {', '.join(sorted(known))}")
            rows.append(_as_row(wish.serial, row.cycle, row.observed_at or self._now(), row.channels))
        return rows


class _Found(NamedTuple):
    """All that a prediction at the centre takes."""

    installation_id: str
    model: ModelRef
    rows: Sequence[SensorRow]


def _installation_id(detail: EngineDetail) -> str:
    serial = detail.row.serial
    if detail.engine.status == "retired":
        raise NotPossibleError(f"engine {serial} is retired; change its status before it is predicted")
    if detail.installation is None:
        raise NotPossibleError(f"engine {serial} is installed nowhere; enter where with POST /api/v1/installations")
    return detail.installation.id


def _model(detail: EngineDetail, wish: Wish) -> ModelRef:
    if wish.model is not None:
        try:
            return model_named(wish.model)
        except SpoolwatchError as error:
            raise InvalidWishError("model", str(error)) from error
    if detail.prediction is None:
        raise NotPossibleError(f"engine {wish.serial} was never predicted: say which model is to predict it (`model`)")
    _, model = detail.prediction
    return ModelRef(name=model.name, version=model.version, sha256=model.sha256)


def _stored(session: Session, detail: EngineDetail, installation_id: str) -> list[SensorRow]:
    """The engine's rows in its present installation, by cycle; of very many, those that matter."""
    if detail.engine.id is None:
        raise RuntimeError("an engine that was read has no key")
    by_cycle: dict[int, Telemetry] = {}
    for limit, descending in ((FIRST_ROWS, False), (LAST_ROWS, True)):
        span = Span(installation_id=installation_id, descending=descending, limit=limit)
        by_cycle |= {row.cycle: row for row in list_telemetry(session, detail.engine.id, span)}
    if not by_cycle:
        raise NotPossibleError(
            f"of engine {detail.row.serial} no row is stored in its present installation; give rows to predict from"
        )
    return [_as_row(detail.row.serial, cycle, row.observed_at, row.channels) for cycle, row in sorted(by_cycle.items())]


def _as_row(serial: str, cycle: int, observed_at: datetime, channels: Mapping[str, float | None]) -> SensorRow:
    values = {name: math.nan if value is None else value for name, value in channels.items()}
    return SensorRow(serial, cycle, observed_at, values)


def _spell(forecast: Forecast, installation_id: str, request_id: str, now: datetime) -> messages.Prediction:
    return messages.Prediction(
        engine=forecast.row.engine,
        installation_id=installation_id,
        cycle=forecast.row.cycle,
        observed_at=forecast.row.observed_at,
        predicted_at=now,
        rul_cycles=forecast.outcome.rul_cycles,
        cap_cycles=forecast.cap_cycles,
        model=forecast.model,
        runtime=forecast.runtime,
        window=forecast.outcome.window,
        flags=forecast.flags,
        input=forecast.outcome.input,
        origin="centre",
        request_id=request_id,
    )


def _rul_of(stored: Prediction) -> RulCycles:
    return RulCycles(
        mean=stored.rul_mean_cycles, q05=stored.rul_q05_cycles, q50=stored.rul_q50_cycles, q95=stored.rul_q95_cycles
    )


def _spell_again(
    serial: str, stored: Prediction, model: ModelRef, again: Replay, runtime: str, request_id: str, now: datetime
) -> messages.Prediction:
    return messages.Prediction(
        engine=serial,
        installation_id=stored.installation_id,
        cycle=stored.cycle,
        observed_at=stored.observed_at,
        predicted_at=now,
        rul_cycles=again.rul_cycles,
        cap_cycles=stored.cap_cycles,
        model=model,
        runtime=runtime,
        window=Window(
            first_cycle=stored.window_first_cycle, last_cycle=stored.window_last_cycle, rows=stored.window_rows
        ),
        flags=stored.flags,
        input=stored.input,
        origin="replay",
        request_id=request_id,
    )
