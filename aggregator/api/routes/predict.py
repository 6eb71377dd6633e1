"""Predictions that somebody asks for: of one engine, or of many."""

import asyncio
from typing import Annotated, NoReturn

from fastapi import Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from aggregator.access.roles import Caller
from aggregator.api.deps import Centre, CentreDep, NowDep, Serial, SessionDep, TechnicianDep, VisibleSites
from aggregator.api.problems import invalid, no_such_engine, problem_of, problems
from aggregator.api.resources import resource
from aggregator.api.schemas.predict import (
    BatchAnswer,
    BatchItem,
    BatchWish,
    EngineWish,
    PredictionWish,
    ReplayedPrediction,
    RequestedPrediction,
    WaitQuery,
)
from aggregator.api.selection import FieldsQuery
from aggregator.predicting import Answer, InvalidWishError, NoSuchPredictionError
from aggregator.store.commands import find_asked, predicted_by, state_of
from aggregator.store.registry import NoSuchEngineError
from aggregator.turns import BusyError, TooManyWaitingError
from shared.errors import BundleError, SpoolwatchError

RETRY_AFTER_S = "1"
RETRY_MANY_AFTER_S = "10"

OperationId = Annotated[str, Path(pattern=r"^[0-9a-f-]{36}$", description="The id of a request.")]
PredictionId = Annotated[int, Path(ge=1, lt=2**63, description="The `id` of one of the engine's predictions.")]

router = resource("predictions")


@router.post(
    "/engines/{serial}/predict",
    summary="Predict an engine",
    responses={
        202: {
            "model": RequestedPrediction,
            "description": "The gateway was asked and has not answered yet; `Location` is where its answer will be.",
            "headers": {"Location": {"schema": {"type": "string"}}, "Retry-After": {"schema": {"type": "string"}}},
        },
        **problems(404, 409, 422, 503),
    },
)
async def predict(
    serial: Serial,
    caller: TechnicianDep,
    centre: CentreDep,
    response: Response,
    query: Annotated[WaitQuery, Query()],
    wish: PredictionWish | None = None,
) -> RequestedPrediction:
    """Have an engine predicted by its gateway, or at the centre.

    A gateway that is offline or refuses is stood in for by the centre, from the rows that are stored, and `reason` says
    so. The prediction is stored with its origin and the id of the request. It is no part of the engine's present state.
    """
    result = await _predict(centre, caller, serial, wish or PredictionWish(), query.wait_s)
    if result.state == "waiting" and result.operation is not None:
        response.status_code = 202
        response.headers["Location"] = result.operation
        response.headers["Retry-After"] = RETRY_AFTER_S
    return result


@router.post("/predictions", summary="Predict many engines", responses=problems(422))
async def predict_many(
    wanted: BatchWish, caller: TechnicianDep, centre: CentreDep, request: Request, query: Annotated[WaitQuery, Query()]
) -> BatchAnswer:
    """Have engines predicted as one by one, at once; each has its own result or problem.

    The centre does one of a caller's at a time, and lets no more than 200 of them wait (429).
    """

    async def one(wish: EngineWish) -> BatchItem:
        try:
            result = await _predict(centre, caller, wish.engine, wish, query.wait_s)
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


@router.get("/operations/{id}", summary="What became of a request", responses=problems(404, 422))
def read_operation(
    id: OperationId,
    sites: VisibleSites,
    session: SessionDep,
    now: NowDep,
    _: Annotated[FieldsQuery[RequestedPrediction], Query()],
) -> RequestedPrediction:
    """What became of the request to a gateway to predict an engine."""
    found = find_asked(session, sites, id)
    if found is None:
        raise HTTPException(404, f"There is no operation {id}.")
    command, serial = found
    answer = Answer(command.id, state_of(command, now), predicted_by(session, command), command.reason, command=True)
    return RequestedPrediction.of(serial, answer)


async def _predict(
    centre: Centre, caller: Caller, serial: str, wish: PredictionWish, wait_s: float
) -> RequestedPrediction:
    try:
        answer = await centre.predicting.answer(wish.as_wish(serial), wait_s, by=caller)
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
        case TooManyWaitingError():
            raise HTTPException(429, str(error), {"Retry-After": RETRY_MANY_AFTER_S}) from error
        case BusyError():
            raise HTTPException(503, str(error), {"Retry-After": RETRY_AFTER_S}) from error
        case BundleError():
            raise HTTPException(503, f"The centre cannot run the model: {error}") from error
        case _:
            raise HTTPException(409, str(error)) from error
