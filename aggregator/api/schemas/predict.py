"""What somebody wants to have predicted, and what came of it."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from aggregator import predicting
from aggregator.api.schemas.history import PredictionRecord
from aggregator.api.schemas.names import AwareUtc, Name
from aggregator.api.schemas.problem import Problem
from aggregator.api.schemas.spans import CYCLE_MAX
from aggregator.store.commands import State
from shared.replay import Agreement

ROWS_MAX = 1000
CHANNELS_MAX = 100
ENGINES_MAX = 100

Value = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class WaitQuery(BaseModel):
    """How long who asks a gateway waits for it."""

    model_config = ConfigDict(extra="forbid")

    wait_s: float = Field(default=5, ge=0, le=30, description="How long to wait for the gateway's answer, in seconds.")


class GivenRow(BaseModel):
    """A cycle row to predict from."""

    model_config = ConfigDict(extra="forbid")

    cycle: int = Field(
        strict=True,
        ge=1,
        le=CYCLE_MAX,
        description="The engine's age in cycles then; higher than that of the row before.",
    )
    observed_at: AwareUtc | None = Field(default=None, description="When it was taken; null: now.")
    channels: dict[Annotated[str, Field(max_length=200)], Value | None] = Field(
        max_length=CHANNELS_MAX,
        description="Value per channel in the unit that the model's manifest states; null where there is none.",
        examples=[{"altitude": 0.0, "T24": 642.3, "T30": None}],
    )


class PredictionWish(BaseModel):
    """Who is to predict, from what, and with which model; by default the engine's gateway, from all that it knows."""

    model_config = ConfigDict(extra="forbid")

    where: Literal["gateway", "centre"] = Field(
        default="gateway",
        description="`centre`: from the rows that are stored. So it is also with `rows` or `model`, for a gateway "
        "predicts from what it has read, by the model that it runs; and where the gateway cannot be asked.",
    )

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
        examples=["turbofan"],
    )

    def as_wish(self, serial: str) -> predicting.Wish:
        """The same for the program."""
        rows = None if self.rows is None else [predicting.GivenRow(**row.model_dump()) for row in self.rows]
        return predicting.Wish(serial, self.where, rows, self.model)


class EngineWish(PredictionWish):
    """What to predict one of many engines from."""

    engine: Name


class BatchWish(BaseModel):
    """Which engines to predict."""

    model_config = ConfigDict(extra="forbid")

    engines: list[EngineWish] = Field(min_length=1, max_length=ENGINES_MAX)


class RequestedPrediction(BaseModel):
    """What came of a request so far."""

    request_id: str = Field(description="The same as that of the prediction.")
    engine: Name
    state: State = Field(
        description="`waiting`: its gateway was asked, and the prediction is not here yet. `refused`: the gateway did, "
        "`reason` says why. `expired`: the gateway did not answer in time; a late answer counts still."
    )
    reason: str | None = Field(
        description="Why the centre predicted in the place of the gateway, or why nobody did; null where all went well."
    )
    operation: str | None = Field(description="Where to look for what becomes of it, if a gateway was asked.")
    prediction: PredictionRecord | None

    @classmethod
    def of(cls, serial: str, answer: predicting.Answer) -> Self:
        """Show an answer."""
        return cls(
            request_id=answer.request_id,
            engine=serial,
            state=answer.state,
            reason=answer.reason,
            operation=f"/api/v1/operations/{answer.request_id}" if answer.command else None,
            prediction=None if answer.prediction is None else PredictionRecord.of(*answer.prediction),
        )


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
