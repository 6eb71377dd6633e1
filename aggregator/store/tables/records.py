"""Telemetry and predictions, the models that made them, and the latest of both for each engine."""

from datetime import datetime

from sqlalchemy import JSON, BigInteger, Index, LargeBinary, UniqueConstraint
from sqlmodel import Field

from aggregator.store.tables.base import BigInt, Changing, NullableJson, Table, UtcDateTime

# The two tables that every record goes into have no foreign keys: what they point to is looked up in the same
# transaction and never deleted, and PostgreSQL would lock and check each of four rows for each record. There they are
# partitioned by the month of received_at (``partitions``), which is therefore part of their primary keys. That there
# is one record about one thing is seen to by ``taken_cycles``.


class Telemetry(Table, table=True):
    """One cycle row of one engine."""

    __tablename__ = "telemetry"
    __table_args__ = (Index(None, "engine_id", "cycle", "received_at"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=BigInt)
    engine_id: int
    installation_id: str
    cycle: int
    observed_at: datetime = Field(sa_type=UtcDateTime)
    received_at: datetime = Field(sa_type=UtcDateTime)
    clock_unsynced: bool
    channels: dict[str, float | None] = Field(sa_type=JSON)
    flags: dict[str, list[str]] = Field(sa_type=JSON)
    refusal: str | None = None
    stream: int
    seq: int = Field(sa_type=BigInteger)


class Model(Table, table=True):
    """A released model that some prediction names; ``sha256`` is of its .tflite file."""

    __tablename__ = "model"
    __table_args__ = (UniqueConstraint("name", "version", "sha256"),)

    id: int | None = Field(default=None, primary_key=True)
    name: str
    version: str
    sha256: str


class Prediction(Table, table=True):
    """One prediction with its lineage; ``request_id`` is empty where nobody asked for it."""

    __tablename__ = "prediction"
    __table_args__ = (
        # A chart is drawn from it alone: the predictions of an engine lie on pages far apart.
        Index(
            "ix_prediction_history",
            *("engine_id", "cycle", "received_at", "installation_id", "origin", "observed_at"),
            *("rul_mean_cycles", "rul_q05_cycles", "rul_q50_cycles", "rul_q95_cycles"),
        ),
        Index(None, "model_id", "id"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=BigInt)
    engine_id: int
    installation_id: str
    cycle: int
    observed_at: datetime = Field(sa_type=UtcDateTime)
    predicted_at: datetime = Field(sa_type=UtcDateTime)
    received_at: datetime = Field(sa_type=UtcDateTime)
    rul_mean_cycles: float
    rul_q05_cycles: float
    rul_q50_cycles: float
    rul_q95_cycles: float
    cap_cycles: float
    model_id: int
    runtime: str
    window_first_cycle: int
    window_last_cycle: int
    window_rows: int
    flags: dict[str, list[str]] = Field(sa_type=JSON)
    input: bytes = Field(sa_type=LargeBinary)
    origin: str
    request_id: str = ""
    stream: int
    seq: int = Field(sa_type=BigInteger)


class CurrentState(Changing, table=True):
    """The latest row and prediction of an engine in its latest installation; each half moves only forward.

    ``*_stream_ordinal`` and ``*_seq`` say how far each half has come; a half that has not come yet is null. Utilisation
    (``cycles_per_day``) is measured by ``cycle_marks``, some of the rows of the last weeks. ``alarm_streaks`` counts by
    rule the latest records in a row that speak for raising its alarm, or for clearing it where it is raised.
    """

    __tablename__ = "current_state"
    __table_args__ = (Index(None, "rul_q05_cycles"), Index(None, "rul_q50_cycles"))

    engine_id: int = Field(foreign_key="engine.id", primary_key=True, sa_column_kwargs={"autoincrement": False})
    installation_id: str = Field(foreign_key="installation.id")
    gateway_id: int = Field(foreign_key="gateway.id")
    telemetry_stream_ordinal: int | None = None
    telemetry_seq: int | None = Field(default=None, sa_type=BigInteger)
    telemetry_cycle: int | None = None
    telemetry_observed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    telemetry_received_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    clock_unsynced: bool | None = None
    channels: dict[str, float | None] | None = Field(default=None, sa_type=NullableJson)
    telemetry_flags: dict[str, list[str]] | None = Field(default=None, sa_type=NullableJson)
    refusal: str | None = None
    cycle_marks: list[tuple[int, int]] | None = Field(default=None, sa_type=NullableJson)
    cycles_per_day: float | None = None
    prediction_stream_ordinal: int | None = None
    prediction_seq: int | None = Field(default=None, sa_type=BigInteger)
    prediction_cycle: int | None = None
    prediction_observed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    predicted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    prediction_received_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    rul_mean_cycles: float | None = None
    rul_q05_cycles: float | None = None
    rul_q50_cycles: float | None = None
    rul_q95_cycles: float | None = None
    cap_cycles: float | None = None
    model_id: int | None = Field(default=None, foreign_key="model.id")
    prediction_flags: dict[str, list[str]] | None = Field(default=None, sa_type=NullableJson)
    alarm_streaks: dict[str, int] | None = Field(default=None, sa_type=NullableJson)
