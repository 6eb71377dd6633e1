"""Engines as the API shows them: in a list, in detail, and as somebody registers them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from aggregator.api.paging import PageQuery
from aggregator.api.schemas.due import CYCLES_PER_DAY_MAX, DueDates, Utilisation
from aggregator.api.schemas.history import PredictionRecord, Rul, TelemetryRow, rul_shown
from aggregator.api.schemas.installations import Installation, InstallationCycle
from aggregator.api.schemas.names import Name
from aggregator.fleet import liveness
from aggregator.fleet.bands import Band
from aggregator.fleet.channels import ChannelStatistics
from aggregator.fleet.liveness import LinkState
from aggregator.store.reads.engine import EngineDetail
from aggregator.store.reads.fleet import EngineRow
from aggregator.store.reads.installations import InstallationRow
from aggregator.store.tables import CurrentState

EngineStatus = Literal["operational", "maintenance", "retired"]
EngineType = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        pattern=r"^[^\x00-\x1f]+$",
        description="The kind of engine.",
        examples=["turbofan"],
    ),
]
EngineSort = Literal["serial", "-serial", "rul", "-rul", "risk", "-risk", "last_seen", "-last_seen"]


class Liveness(BaseModel):
    """Whether an engine or gateway is heard from, and why we say so."""

    state: LinkState = Field(description="`stale`: said to be online, but silent. Not a health band.")
    reason: str = Field(description="The sentence that explains the state.", examples=["heartbeat 95 s late"])

    @classmethod
    def of(cls, judged: liveness.Liveness) -> Self:
        """Show a judgement."""
        return cls(state=judged.state, reason=judged.reason)


class Engine(BaseModel):
    """One engine with its latest state."""

    serial: Name
    site: Name
    type: str = Field(description="The kind of engine.", examples=["turbofan"])
    status: EngineStatus
    gateway: str | None = Field(description="The gateway at which it is installed now.")
    position: str | None = Field(description="Its place at that gateway.", examples=["1"])
    cycle: int | None = Field(description="The cycle of its latest row, as its source counts them.")
    rul: Rul | None = Field(description="Its latest prediction; null where there is none.")
    utilisation: Utilisation | None = Field(description="Null while there is less than a day to measure it by.")
    band: Band = Field(
        description="Its health band, by the quantile of the fleet's thresholds; `unknown` without a prediction."
    )
    liveness: Liveness
    last_record_at: datetime | None = Field(description="When the centre received its latest row or prediction.")

    @classmethod
    def of(cls, row: EngineRow, now: datetime) -> Self:
        """Show an engine of the store."""
        return cls(**engine_shown(row, now))


class ChannelSummary(BaseModel):
    """One channel over an engine's latest rows, in the channel's unit."""

    count: int = Field(description="How many rows had a value.")
    mean: float = Field(description="Of those.")
    min: float = Field(description="The lowest of those.")
    max: float = Field(description="The highest of those.")
    std: float | None = Field(description="The sample standard deviation; null for a single value.")


class EngineDetails(Engine):
    """One engine with all that is known of its present state."""

    registered_at: datetime
    due: DueDates | None = Field(description="When its useful life ends; null without a prediction.")
    installation: Installation | None = Field(description="Where it hangs now.")
    maintenance_epoch: int = Field(description="How often it has been overhauled.")
    last_overhaul_at: datetime | None = Field(description="When it last was; null if it never was.")
    row: TelemetryRow | None = Field(description="Its latest row.")
    prediction: PredictionRecord | None = Field(description="Its latest prediction, with its lineage.")
    statistics_rows: int = Field(
        description="Over how many of the latest rows `statistics` go; at most 100, of the latest installation. Over "
        "others: `telemetry/buckets`."
    )
    statistics: dict[str, ChannelSummary] = Field(description="Per channel.")

    @classmethod
    def of_detail(
        cls, detail: EngineDetail, rows: int, statistics: Mapping[str, ChannelStatistics], now: datetime
    ) -> Self:
        """Show an engine of the store in detail."""
        return cls(
            **engine_shown(detail.row, now),
            registered_at=detail.engine.registered_at,
            due=DueDates.of(detail.row.life(now)),
            installation=_installation(detail),
            maintenance_epoch=0 if detail.overhaul is None else detail.overhaul.epoch,
            last_overhaul_at=None if detail.overhaul is None else detail.overhaul.at,
            row=None if detail.current is None else _latest_row(detail.current),
            prediction=None if detail.prediction is None else PredictionRecord.of(*detail.prediction),
            statistics_rows=rows,
            statistics={
                channel: ChannelSummary.model_validate(each, from_attributes=True)
                for channel, each in statistics.items()
            },
        )


class EngineRegistration(BaseModel):
    """An engine that is to be known, and where it hangs."""

    model_config = ConfigDict(extra="forbid")

    serial: Name
    site: Name = Field(description="`centre` is reserved.")
    type: EngineType = "turbofan"
    gateway: Name | None = Field(
        default=None,
        description="Where it hangs from now on; registered with the engine where it is not known yet. Null: nowhere.",
    )
    position: Name = Field(default="1", description="Its place at that gateway.")
    installation_cycle: InstallationCycle = None


class EngineChange(BaseModel):
    """What is to be edited of an engine; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    type: EngineType | None = Field(default=None, description="Null changes nothing.")
    site: Name | None = Field(
        default=None, description="Null changes nothing. Only of an engine that hangs nowhere: a gateway has its own."
    )
    status: EngineStatus | None = Field(
        default=None, description="Null changes nothing. `retired` also removes it from where it hangs."
    )
    cycles_per_day: float | None = Field(
        default=None,
        strict=True,
        gt=0,
        le=CYCLES_PER_DAY_MAX,
        description="Its utilisation, in the place of what is measured; null goes by what is measured again.",
    )


class EngineQuery(PageQuery[Engine]):
    """Which engines are wanted, and in what order."""

    site: Name | None = None
    status: EngineStatus | None = Field(default=None, description="As people have entered it.")
    type: str | None = Field(default=None, max_length=64, description="The kind of engine.", examples=["turbofan"])
    model: str | None = Field(
        default=None,
        max_length=200,
        description="Of the latest prediction: a model's name, or its name and version.",
        examples=["turbofan 1.0.0"],
    )
    gateway: Name | None = Field(default=None, description="Those installed there now.")
    band: Band | None = None
    liveness: LinkState | None = Field(default=None, description="By the state of their link.")
    sort: EngineSort = Field(
        default="serial",
        description="`risk`: by the lower quantile, so that who may fail first comes first; `rul`: by the median; by "
        "either, engines without a prediction as if they had the longest life; "
        "`last_seen`: by `last_record_at`, engines without one as if it was long ago; `-` reverses.",
    )


def engine_shown(row: EngineRow, now: datetime) -> dict[str, Any]:
    """The fields of an engine as lists show it."""
    return {
        "serial": row.serial,
        "site": row.site,
        "type": row.type,
        "status": row.status,
        "gateway": row.gateway,
        "position": row.position,
        "cycle": row.cycle,
        "rul": None if row.rul is None else rul_shown(row.rul),
        "utilisation": None if row.utilisation is None else row.utilisation._asdict(),
        "band": row.band,
        "liveness": row.liveness(now)._asdict(),
        "last_record_at": row.last_record_at,
    }


def _installation(detail: EngineDetail) -> Installation | None:
    if detail.installation is None or detail.row.gateway is None:
        return None
    return Installation.of(InstallationRow(detail.installation, detail.row.serial, detail.row.gateway))


def _latest_row(current: CurrentState) -> TelemetryRow | None:
    if current.telemetry_cycle is None:
        return None
    return TelemetryRow.model_validate(
        {
            "cycle": current.telemetry_cycle,
            "installation_id": current.installation_id,
            "observed_at": current.telemetry_observed_at,
            "received_at": current.telemetry_received_at,
            "clock_unsynced": current.clock_unsynced,
            "channels": current.channels,
            "flags": current.telemetry_flags,
            "refusal": current.refusal,
        }
    )
