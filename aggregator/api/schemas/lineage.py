"""Which predictions a model made."""

from typing import Annotated, Any

from pydantic import Field

from aggregator.api.paging import PageQuery
from aggregator.api.schemas.history import PredictionRecord, prediction_shown
from aggregator.api.schemas.names import Name
from aggregator.store.reads.lineage import Made

ModelText = Annotated[str, Field(min_length=1, max_length=200)]


class MadePrediction(PredictionRecord):
    """One prediction, of which engine."""

    engine: Name


def made_shown(made: Made) -> dict[str, Any]:
    """The fields of a prediction, of which engine."""
    return {"engine": made.serial, **prediction_shown(made.prediction, made.model)}


class LineageQuery(PageQuery[MadePrediction]):
    """Which predictions are wanted, by the model that made them."""

    model: ModelText = Field(description="The model's name.", examples=["turbofan"])
    version: ModelText | None = Field(default=None, description="Of the model.", examples=["1.0.0"])
    sha256: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{64}$", description="Of its .tflite file, where a version is not enough."
    )
