"""Predictions that somebody asks for: of one engine, or of many."""

import asyncio
from typing import Annotated, NoReturn

from fastapi import APIRouter, Path, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from aggregator.access.roles import Caller
from aggregator.api.deps import Centre, CentreDep, Serial, TechnicianDep
from aggregator.api.problems import invalid, no_such_engine, problem_of, problems
from aggregator.api.schemas.predict import (
    BatchAnswer,
    BatchItem,
    BatchWish,
    EngineWish,
    PredictionWish,
    ReplayedPrediction,
    RequestedPrediction,
)
from aggregator.inference import BusyError
from aggregator.predicting import InvalidWishError, NoSuchPredictionError
from aggregator.store.registry import NoSuchEngineError
from shared.errors import BundleError, SpoolwatchError

RETRY_AFTER_S = "1"

PredictionId = Annotated[int, Path(ge=1, lt=2**63, description="The `id` of one of the engine's predictions.")]

router = APIRouter(tags=["predictions"])


@router.post("/engines/{serial}/predict", summary="Predict an engine", responses=problems(404, 409, 422, 503))
async def predict(
    serial: Serial, caller: TechnicianDep, centre: CentreDep, wish: PredictionWish | None = None
) -> RequestedPrediction:
    """Predict an engine at the centre, by the model that its gateway runs or by another released one.

    The prediction is stored with its origin and the id of the request. It is no part of the engine's present state.
    """
    return await _predict(centre, caller, serial, wish or PredictionWish())


@router.post("/predictions", summary="Predict many engines", responses=problems(422))
async def predict_many(wanted: BatchWish, caller: TechnicianDep, centre: CentreDep, request: Request) -> BatchAnswer:
    """Predict engines as one by one, at once; each has its own result or problem."""

    async def one(wish: EngineWish) -> BatchItem:
        try:
            result = await _predict(centre, caller, wish.engine, wish)
        except (HTTPException, RequestValidationError) as error:
            return BatchItem(engine=wish.engine, result=None, problem=problem_of(request, error))
        return BatchItem(engine=wish.engine, result=result, problem=None)

    return BatchAnswer(items=await asyncio.gather(*[one(wish) for wish in wanted.engines]))


@router.post(
    "/engines/{serial}/predictions/{id}/replay",
    summary="Make a stored prediction again",
    responses=problems(404, 409, 422, 503),
)
async def replay(serial: Serial, id: PredictionId, caller: TechnicianDep, centre: CentreDep) -> ReplayedPrediction:
    """Run the model that made a prediction on the input tensor that it was stored with, and compare."""
    try:
        replayed = await centre.predicting.replay(serial, id, by=caller)
    except SpoolwatchError as error:
        _refuse(serial, error)
    return ReplayedPrediction.of(replayed)


async def _predict(centre: Centre, caller: Caller, serial: str, wish: PredictionWish) -> RequestedPrediction:
    try:
        answer = await centre.predicting.answer(wish.as_wish(serial), by=caller)
    except SpoolwatchError as error:
        _refuse(serial, error)
    return RequestedPrediction.of(serial, answer)


def _refuse(serial: str, error: SpoolwatchError) -> NoReturn:
    match error:
        case NoSuchEngineError():
            raise no_such_engine(serial) from error
        case NoSuchPredictionError():
            raise HTTPException(404, str(error)) from error
        case InvalidWishError(field=field):
            raise invalid(f"body.{field}", str(error)) from error
        case BusyError():
            raise HTTPException(503, str(error), {"Retry-After": RETRY_AFTER_S}) from error
        case BundleError():
            raise HTTPException(503, f"The centre cannot run the model: {error}") from error
        case _:
            raise HTTPException(409, str(error)) from error
