"""What was recorded of an engine: its predictions with their lineage, its rows, and both as few points."""

from base64 import b64encode
from collections.abc import Collection
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, Field

from aggregator.api.schemas.names import Flags
from aggregator.fleet import rul
from aggregator.store.reads.history import rul_of
from aggregator.store.tables import Model, Prediction, Telemetry


class AtCap(BaseModel):
    """Per value, whether it is at the model's cap and so only says "at least `cap_cycles`"."""

    mean: bool
    q05: bool
    q50: bool
    q95: bool


class Rul(BaseModel):
    """Remaining useful life as a distribution in cycles, unclipped: near failure a value may be negative.

    Show none below 0 and none above `cap_cycles`, as the pages do.
    """

    mean_cycles: float = Field(description="The mean, in cycles.")
    q05_cycles: float = Field(description="With 95 % probability it lasts at least this long, in cycles.")
    q50_cycles: float = Field(description="The median, in cycles; the health band goes by it.")
    q95_cycles: float = Field(description="With 5 % probability it lasts longer than this, in cycles.")
    cap_cycles: float = Field(description="The model does not tell lives longer than this apart, in cycles.")
    at_cap: AtCap


def rul_shown(life: rul.Rul) -> dict[str, Any]:
    """The fields of a distribution."""
    return {
        "mean_cycles": life.mean,
        "q05_cycles": life.q05,
        "q50_cycles": life.q50,
        "q95_cycles": life.q95,
        "cap_cycles": life.cap,
        "at_cap": {
            "mean": life.at_cap(life.mean),
            "q05": life.at_cap(life.q05),
            "q50": life.at_cap(life.q50),
            "q95": life.at_cap(life.q95),
        },
    }


class ModelReference(BaseModel):
    """The released model that made a prediction."""

    name: str
    version: str
    sha256: str = Field(description="Of its .tflite file, in hexadecimal.")


class PredictionWindow(BaseModel):
    """The rows that a prediction rests on."""

    first_cycle: int = Field(description="As the model counts: by the engine's age, where that is known.")
    last_cycle: int = Field(description="Inclusive.")
    rows: int = Field(description="How many rows of that range were present.")


class PredictionRecord(BaseModel):
    """One prediction with its lineage."""

    id: int = Field(description="Names it among the engine's predictions.")
    cycle: int = Field(description="The cycle after which it was made.")
    installation_id: str
    observed_at: datetime = Field(description="When the row of that cycle was taken, by the gateway's clock.")
    predicted_at: datetime = Field(description="When it was made, by the gateway's clock.")
    received_at: datetime = Field(description="When the centre received it.")
    rul: Rul
    model: ModelReference
    runtime: str = Field(description="What ran the model.", examples=["tflite-runtime 2.14.0"])
    window: PredictionWindow
    flags: Flags
    origin: str = Field(
        examples=["edge", "command", "centre", "replay"],
        description="`edge`: its gateway, unasked. By request: `command`, its gateway; `centre`; `replay`, the centre, "
        "of another prediction. Only `edge` counts for the state of the fleet and in `buckets`.",
    )
    request_id: str | None = Field(description="The request that it answers, where it answers one.")
    input: str | None = Field(
        default=None,
        json_schema_extra={"contentEncoding": "base64"},
        description="The quantised input tensor in base64; only with `include=input`.",
    )

    @classmethod
    def of(cls, prediction: Prediction, model: Model) -> Self:
        """Show a prediction of the store."""
        return cls(**prediction_shown(prediction, model))


def prediction_shown(prediction: Prediction, model: Model, *, with_input: bool = False) -> dict[str, Any]:
    """The fields of a prediction with its lineage."""
    return {
        "id": prediction.id,
        "cycle": prediction.cycle,
        "installation_id": prediction.installation_id,
        "observed_at": prediction.observed_at,
        "predicted_at": prediction.predicted_at,
        "received_at": prediction.received_at,
        "rul": rul_shown(rul_of(prediction)),
        "model": {"name": model.name, "version": model.version, "sha256": model.sha256},
        "runtime": prediction.runtime,
        "window": {
            "first_cycle": prediction.window_first_cycle,
            "last_cycle": prediction.window_last_cycle,
            "rows": prediction.window_rows,
        },
        "flags": prediction.flags,
        "origin": prediction.origin,
        "request_id": prediction.request_id or None,
        "input": b64encode(prediction.input).decode() if with_input else None,
    }


class TelemetryRow(BaseModel):
    """One cycle row: every channel of one instant."""

    cycle: int = Field(description="As its source counts.")
    installation_id: str
    observed_at: datetime = Field(description="When it was taken, by the gateway's clock.")
    received_at: datetime = Field(description="When the centre received it.")
    clock_unsynced: bool = Field(description="Whether the gateway's clock was not to be trusted.")
    channels: dict[str, float | None] = Field(
        description="Value per channel in the unit that the model's manifest states; null where it had none."
    )
    flags: Flags
    refusal: str | None = Field(description="Why no prediction was made from it, where none was.")


def row_shown(row: Telemetry, wanted: Collection[str] = ()) -> dict[str, Any]:
    """The fields of a row; of some channels, or of all where none are named."""
    channels, flags = row.channels, row.flags
    if wanted:
        channels = {name: value for name, value in channels.items() if name in wanted}
        flags = {name: of_channel for name, of_channel in flags.items() if name in wanted}
    return {
        "cycle": row.cycle,
        "installation_id": row.installation_id,
        "observed_at": row.observed_at,
        "received_at": row.received_at,
        "clock_unsynced": row.clock_unsynced,
        "channels": channels,
        "flags": flags,
        "refusal": row.refusal,
    }


class Extent(BaseModel):
    """One quantity over the rows of a bucket; null where none of them has it."""

    min: float = Field(description="In the unit of the quantity, as the others.")
    max: float = Field(description="The highest value.")
    mean: float = Field(description="Over the rows that have a value.")


class Bucket(BaseModel):
    """Some rows in a row, summed up."""

    first_cycle: int = Field(description="Of the rows that are in it, as their source counts.")
    last_cycle: int = Field(description="Inclusive.")
    rows: int = Field(description="How many rows of that range were present.")


class TelemetryBucket(Bucket):
    """Some rows in a row, summed up by channel."""

    channels: dict[str, Extent | None] = Field(description="In the channel's unit; null where no row has a value.")


class PredictionBucket(Bucket):
    """Some predictions in a row, summed up; in cycles, unclipped."""

    rul_mean_cycles: Extent
    rul_q05_cycles: Extent
    rul_q50_cycles: Extent
    rul_q95_cycles: Extent
