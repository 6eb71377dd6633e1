"""Answers who asks for a prediction: by the engine's gateway, or at the centre, from stored rows or from given ones."""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import uuid4

import msgspec

from aggregator.access.roles import Caller, Role
from aggregator.gateways import Gateways
from aggregator.inference import Inference, RefusedError
from aggregator.lineage import prediction_of, replayed_of, rul_cycles_of
from aggregator.released import NotReleasedError, find_released, model_named
from aggregator.store.commands import State, predicted_by
from aggregator.store.database import Store
from aggregator.store.desired import describe
from aggregator.store.predictions import find_prediction, keep
from aggregator.store.reads import Session
from aggregator.store.reads.engine import EngineDetail, find_engine, find_engine_id
from aggregator.store.reads.gateways import find_gateway
from aggregator.store.reads.history import Span, list_telemetry
from aggregator.store.registry import NoSuchEngineError
from aggregator.store.tables import GatewayCommand, Model, Prediction, Telemetry
from aggregator.turns import Turns
from shared.desired import DesiredEngine
from shared.errors import RowError, SpoolwatchError
from shared.messages import ModelRef, Predict, Status
from shared.replay import Agreement
from shared.rows import SensorRow

# Of a long life its first rows, which the features compare with, and many times as many of the last as a feature feels.
FIRST_ROWS, LAST_ROWS = 100, 1000


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
        where: by whom; a gateway predicts from what it knows, by the model that it runs.
        rows: to predict from, in the place of those that are stored.
        model: ``name`` or ``name@version``; None for the one that last predicted the engine, or that its gateway runs.
    """

    serial: str
    where: Literal["gateway", "centre"] = "gateway"
    rows: Sequence[GivenRow] | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a wish.

    Attributes:
        state: ``waiting`` for the gateway, or what became of that.
        prediction: once it is there.
        reason: why the centre answers and not the gateway, or why nobody does.
        command: whether a gateway was asked.
    """

    request_id: str
    state: State
    prediction: tuple[Prediction, Model] | None = None
    reason: str | None = None
    command: bool = False


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
        gateways: the way to them.
        now: the clock, aware UTC.
    """

    def __init__(self, store: Store, inference: Inference, gateways: Gateways, now: Callable[[], datetime]) -> None:
        self._store, self._inference, self._gateways, self._now = store, inference, gateways, now
        self._turns = Turns()

    async def answer(self, wish: Wish, wait_s: float, *, by: Caller) -> Answer:
        """Predict, or have it predicted; where the gateway cannot, the centre does, and says why.

        Args:
            wish: what.
            wait_s: how long to wait for the gateway.
            by: who asks.

        Raises:
            NoSuchEngineError: there is none where whoever asks is a technician.
            NotPossibleError: the engine hangs nowhere, is retired, or has no rows.
            InvalidWishError: the rows or the model are not good to predict from.
            NotReleasedError: the model that last predicted the engine is not installed here.
            TooManyWaitingError: whoever asks waits for too many already.
            BusyError, BundleError: the centre cannot run models now, or at all.
        """
        if wish.rows is not None or wish.model is not None or wish.where == "centre":
            return await self._predict_here(wish, str(uuid4()), None, by)
        asked = await asyncio.to_thread(self._ask, wish, by)
        if asked.reason is not None:
            return await self._predict_here(wish, str(uuid4()), asked.reason, by)
        found = await self._gateways.wait(asked.command_id, wait_s)
        if found is None:
            return Answer(asked.command_id, "waiting", command=True)
        if found.cycle is None:
            return await self._predict_here(wish, asked.command_id, f"its gateway refused: {found.reason}", by)
        prediction = await asyncio.to_thread(self._read_answer, found)
        return Answer(asked.command_id, "done", prediction, command=True)

    def _ask(self, wish: Wish, by: Caller) -> "_Asked":
        """Ask the engine's gateway, if it can be asked."""
        with self._store.session() as session:
            detail = _find(session, wish.serial, by)
            _installation_id(detail)
            gateway, last_record_at = find_gateway(session, detail.row.gateway or "")
        reason = self._gateways.why_unreachable(gateway, last_record_at)
        if reason is not None:
            return _Asked("", reason)
        return _Asked(self._gateways.send(gateway, Predict(engine=wish.serial), engine=detail.engine, by=by), None)

    def _read_answer(self, found: GatewayCommand) -> tuple[Prediction, Model] | None:
        with self._store.session() as session:
            return predicted_by(session, found)

    async def _predict_here(self, wish: Wish, request_id: str, reason: str | None, by: Caller) -> Answer:
        try:
            async with self._turns.take(by.name):  # rows are many: they are read when they are wanted
                found = await asyncio.to_thread(self._look_up, wish, by)
                forecast = await self._inference.forecast(found.model, found.rows, found.desired)
        except (RowError, RefusedError, NotPossibleError, NotReleasedError) as error:
            if wish.rows is not None and isinstance(error, RowError | RefusedError):
                raise InvalidWishError("rows", str(error)) from error
            raise NotPossibleError(str(error) if reason is None else f"{error}; and {reason}") from error
        now = self._now()
        made = prediction_of(forecast, found.installation_id, request_id, now)
        kept = await asyncio.to_thread(keep, self._store, made, now, by=by)
        return Answer(request_id, "done", kept, reason)

    async def replay(self, serial: str, id: int, *, by: Caller) -> Replayed:
        """Make a stored prediction again from its input tensor, and store what comes out with the origin ``replay``.

        Raises:
            NoSuchEngineError: there is none where whoever asks is a technician.
            NoSuchPredictionError: the engine has none of this id.
            ReplayError: the model cannot have made it.
            NotReleasedError, TooManyWaitingError, BusyError, BundleError: as ``answer`` does.
        """
        stored, model = await asyncio.to_thread(self._find_prediction, serial, id, by)
        ref = ModelRef(name=model.name, version=model.version, sha256=model.sha256)
        async with self._turns.take(by.name):
            again, runtime = await self._inference.replay(ref, stored.input, stored.flags, rul_cycles_of(stored))
        now = self._now()
        made = replayed_of(serial, stored, ref, again, runtime, str(uuid4()), now)
        kept = await asyncio.to_thread(keep, self._store, made, now, by=by)
        return Replayed(again.agreement, kept, (stored, model))

    def _find_prediction(self, serial: str, id: int, by: Caller) -> tuple[Prediction, Model]:
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
            detail = _find(session, wish.serial, by)
            installation_id = _installation_id(detail)
            model = _model(session, detail, wish)
            if wish.rows is None:
                desired = describe(session.connection(), installation_id)
                return _Found(installation_id, model, _stored(session, detail, desired), desired)
        return _Found(installation_id, model, self._given(wish, model), None)

    def _given(self, wish: Wish, model: ModelRef) -> list[SensorRow]:
        known = {channel.name for channel in find_released(model)[1].channels}
        rows = []
        for number, row in enumerate(wish.rows or ()):
            if unknown := sorted(row.channels.keys() - known):
                reason = f"model {model.name} {model.version} does not know {', '.join(unknown)}"
                raise InvalidWishError(f"rows.{number}.channels", f"{reason}; it knows {', '.join(sorted(known))}")
            rows.append(_as_row(wish.serial, row.cycle, row.observed_at or self._now(), row.channels))
        return rows


class _Asked(NamedTuple):
    """The command that a gateway was sent, or the reason why it was not."""

    command_id: str
    reason: str | None


class _Found(NamedTuple):
    """All that a prediction at the centre takes."""

    installation_id: str
    model: ModelRef
    rows: Sequence[SensorRow]
    desired: DesiredEngine | None


def _find(session: Session, serial: str, by: Caller) -> EngineDetail:
    detail = find_engine(session, by.sites(Role.TECHNICIAN), serial)
    if detail is None:
        raise NoSuchEngineError(f"engine {serial} is not registered")
    return detail


def _installation_id(detail: EngineDetail) -> str:
    serial = detail.row.serial
    if detail.engine.status == "retired":
        raise NotPossibleError(f"engine {serial} is retired; change its status before it is predicted")
    if detail.installation is None:
        raise NotPossibleError(f"engine {serial} is installed nowhere; enter where with POST /api/v1/installations")
    return detail.installation.id


def _model(session: Session, detail: EngineDetail, wish: Wish) -> ModelRef:
    if wish.model is not None:
        try:
            return model_named(wish.model)
        except SpoolwatchError as error:
            raise InvalidWishError("model", str(error)) from error
    if detail.prediction is not None:
        _, model = detail.prediction
        return ModelRef(name=model.name, version=model.version, sha256=model.sha256)
    gateway, _ = find_gateway(session, detail.row.gateway or "")
    running = None if gateway.report is None else msgspec.convert(gateway.report, Status).model
    if running is None:
        raise NotPossibleError(f"engine {wish.serial} was never predicted: say which model is to predict it (`model`)")
    return running


def _stored(session: Session, detail: EngineDetail, desired: DesiredEngine) -> list[SensorRow]:
    """The engine's rows in its installation since it was overhauled, by cycle; of very many, those that matter."""
    if detail.engine.id is None:
        raise RuntimeError("an engine that was read has no key")
    by_cycle: dict[int, Telemetry] = {}
    for limit, descending in ((FIRST_ROWS, False), (LAST_ROWS, True)):
        installation_id, first = desired.installation_id, desired.counted_from + 1
        span = Span(first, installation_id=installation_id, descending=descending, limit=limit)
        by_cycle |= {row.cycle: row for row in list_telemetry(session, detail.engine.id, span)}
    if not by_cycle:
        raise NotPossibleError(
            f"of engine {detail.row.serial} no row is stored since it was installed or overhauled; "
            "give rows to predict from"
        )
    return [_as_row(detail.row.serial, cycle, row.observed_at, row.channels) for cycle, row in sorted(by_cycle.items())]


def _as_row(serial: str, cycle: int, observed_at: datetime, channels: Mapping[str, float | None]) -> SensorRow:
    values = {name: math.nan if value is None else value for name, value in channels.items()}
    return SensorRow(serial, cycle, observed_at, values)
