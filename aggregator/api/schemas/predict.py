"""What somebody wants to have predicted, and what came of it."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from aggregator import predicting
from aggregator.api.schemas.history import CYCLE_MAX, PredictionRecord
from aggregator.api.schemas.names import AwareUtc, Name
from aggregator.api.schemas.problem import Problem
from shared.replay import Agreement

ROWS_MAX = 1000
CHANNELS_MAX = 100
ENGINES_MAX = 100

Value = Annotated[float, Field(allow_inf_nan=False)]


class GivenRow(BaseModel):
    """A cycle row to predict from."""

    model_config = ConfigDict(extra="forbid")

    cycle: int = Field(ge=1, le=CYCLE_MAX, description="Higher than that of the row before.")
    observed_at: AwareUtc | None = Field(default=None, description="When it was taken; null: now.")
    channels: dict[Annotated[str, Field(max_length=200)], Value | None] = Field(
        max_length=CHANNELS_MAX,
        description="Value per channel in the unit that the model's manifest states; null where there is none.",
        examples=[{"altitude": 0.0, "T24": 642.3, "T30": None}],
    )


class PredictionWish(BaseModel):
    """What to predict from, and with which model; by default from the rows that are stored."""

    model_config = ConfigDict(extra="forbid")

    rows: list[GivenRow] | None = Field(
        default=None,
        min_length=1,
        max_length=ROWS_MAX,
        description="A history to predict from at its end, in the place of the one that is stored: nothing else is "
        "known of the engine then. The rows themselves are not stored.",
    )
    model: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9-]{0,199}(@\d{1,9}\.\d{1,9}\.\d{1,9})?$",
        description="`name` or `name@version` of a released model; null: the one that last predicted the engine.",
        examples=["turbofan@1.1.0"],
    )

    def as_wish(self, serial: str) -> predicting.Wish:
        """The same for the program."""
        rows = None if self.rows is None else [predicting.GivenRow(**row.model_dump()) for row in self.rows]
        return predicting.Wish(serial, rows, self.model)


class EngineWish(PredictionWish):
    """What to predict one of many engines from."""

    engine: Name


class BatchWish(BaseModel):
    """Which engines to predict."""

    model_config = ConfigDict(extra="forbid")

    engines: list[EngineWish] = Field(min_length=1, max_length=ENGINES_MAX)


class RequestedPrediction(BaseModel):
    """What came of a request."""

    request_id: str = Field(description="The same as that of the prediction.")
    engine: Name
    prediction: PredictionRecord

    @classmethod
    def of(cls, serial: str, answer: predicting.Answer) -> Self:
        """Show an answer."""
        return cls(request_id=answer.request_id, engine=serial, prediction=PredictionRecord.of(*answer.prediction))


class ReplayedPrediction(BaseModel):
    """A stored prediction made again from its input tensor."""

    agreement: Agreement = Field(
        description="`identical`: every number is the same, as it is on the same runtime and architecture. `one_step`: "
        "at most one quantisation step of the network's outputs apart. `different`: farther, so this model, with this "
        "input, has not said what is stored."
    )
    prediction: PredictionRecord = Field(description="What came out now, stored with the origin `replay`.")
    stored: PredictionRecord = Field(description="What was stored.")

    @classmethod
    def of(cls, replayed: predicting.Replayed) -> Self:
        """Show a replay."""
        return cls(
            agreement=replayed.agreement,
            prediction=PredictionRecord.of(*replayed.prediction),
            stored=PredictionRecord.of(*replayed.stored),
        )


class BatchItem(BaseModel):
    """What came of the request for one of many engines: a prediction or a problem."""

    engine: Name
    result: RequestedPrediction | None
    problem: Problem | None = Field(description="What the request for this engine alone would have been answered with.")


class BatchAnswer(BaseModel):
    """What came of the requests, in their order."""

    items: list[BatchItem]
