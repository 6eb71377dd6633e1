"""Lineage: which models made predictions, and which predictions a model made."""

from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field, TypeAdapter

from aggregator.api.deps import SessionDep, VisibleSites
from aggregator.api.paging import Page, cursor_of, place_of, take, written_page
from aggregator.api.problems import problems
from aggregator.api.resources import resource
from aggregator.api.schemas.history import ModelReference
from aggregator.api.schemas.lineage import LineageQuery, MadePrediction, made_shown
from aggregator.api.selection import FieldsQuery
from aggregator.store.reads.lineage import list_made, list_models

_PLACE: TypeAdapter[int] = TypeAdapter(Annotated[int, Field(ge=0, lt=2**63)])

router = resource("lineage")


@router.get("/models", summary="List the models that made predictions", responses=problems(422))
def read_models(
    sites: VisibleSites, session: SessionDep, _: Annotated[FieldsQuery[ModelReference], Query()]
) -> list[ModelReference]:
    """Every model that made a prediction for an engine that one may see, by name and version."""
    return [ModelReference.model_validate(model, from_attributes=True) for model in list_models(session, sites)]


@router.get(
    "/predictions",
    summary="Which predictions a model made",
    response_model=Page[MadePrediction],
    responses=problems(422),
)
def read_made(
    sites: VisibleSites,
    session: SessionDep,
    query: Annotated[LineageQuery, Query()],
    request: Request,
) -> Response:
    """Predictions of a model, of every engine, those that were stored last first."""
    models = [
        model
        for model in list_models(session)
        if model.name == query.model and query.version in (None, model.version) and query.sha256 in (None, model.sha256)
    ]
    made = list_made(session, sites, models, place_of(query.cursor, _PLACE), query.limit + 1)
    kept, last = take(made, query.limit)
    cursor = None if last is None else cursor_of(last.prediction.id)
    return written_page(request, {"items": [made_shown(one) for one in kept], "next": cursor})
