"""Which predictions a model made."""

from typing import Annotated, Self

from pydantic import Field

from aggregator.api.paging import PageQuery
from aggregator.api.schemas.history import PredictionRecord
from aggregator.api.schemas.names import Name
from aggregator.store.reads.lineage import Made

ModelText = Annotated[str, Field(min_length=1, max_length=200)]


class MadePrediction(PredictionRecord):
    """One prediction, of which engine."""

    engine: Name

    @classmethod
    def of_made(cls, made: Made) -> Self:
        """Show a prediction of the store."""
        shown = PredictionRecord.of(made.prediction, made.model).model_dump()
        return cls(engine=made.serial, **shown)


class LineageQuery(PageQuery[MadePrediction]):
    """Which predictions are wanted, by the model that made them."""

    model: ModelText = Field(description="The model's name.", examples=["turbofan"])
    version: ModelText | None = Field(default=None, description="Of the model.", examples=["1.0.0"])
    sha256: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{64}$", description="Of its .tflite file, where a version is not enough."
    )
