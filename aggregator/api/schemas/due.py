"""When engines are due: dates made of remaining cycles and utilisation."""

from datetime import datetime, timedelta
from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from aggregator.api.paging import Page, PageQuery
from aggregator.api.schemas.history import Rul, rul_shown
from aggregator.api.schemas.names import Day, Name
from aggregator.fleet import due
from aggregator.fleet.bands import Band
from aggregator.fleet.due import LEAST_CAUTIOUS, MOST_CAUTIOUS, Doubt, Judgement, Life, due_date
from aggregator.store.reads.fleet import EngineRow

CYCLES_PER_DAY_MAX = 100_000


class Utilisation(BaseModel):
    """How many cycles an engine flies per day."""

    cycles_per_day: float = Field(gt=0, examples=[4.6], description="On average, also over days without a flight.")
    source: Literal["measured", "entered"] = Field(
        description="`measured`: over its latest 28 days with rows; `entered`: by a person, which goes before."
    )


class DueDate(BaseModel):
    """When an engine's useful life ends."""

    at: datetime = Field(description="A century ahead where it would be later.")
    cycles: float = Field(ge=0, description="Cycles left until then.")
    not_before: bool = Field(
        description="True: the cycles are at the model's cap, so it ends no sooner than `at`, and nobody knows when."
    )

    @classmethod
    def of(cls, ends: due.DueDate | None) -> Self | None:
        """Show a due date, if there is one."""
        return None if ends is None else cls(at=ends.at, cycles=ends.cycles, not_before=ends.not_before)


class DueDates(BaseModel):
    """When an engine's useful life ends, by each quantile; null where its utilisation is not known."""

    q05: DueDate | None = Field(description="With 95 % probability it lasts at least until then.")
    q50: DueDate | None = Field(description="As likely before as after.")
    q95: DueDate | None = Field(description="With 5 % probability it lasts longer than until then.")

    @classmethod
    def of(cls, life: Life) -> Self | None:
        """Show the due dates of an engine; None where it has no prediction."""
        if life.rul is None:
            return None
        q05, q50, q95 = (DueDate.of(due_date(life, confidence)) for confidence in (MOST_CAUTIOUS, 0.5, LEAST_CAUTIOUS))
        return cls(q05=q05, q50=q50, q95=q95)


class EngineDue(BaseModel):
    """An engine that is due, or of which nobody can tell."""

    serial: Name
    site: Name
    type: str = Field(description="The kind of engine.", examples=["turbofan"])
    status: Literal["operational", "maintenance"]
    gateway: str | None
    position: str | None
    band: Band
    rul: Rul | None
    utilisation: Utilisation | None
    due: DueDate | None = Field(description="With the confidence asked for.")
    doubt: Doubt | None = Field(description="Why nobody can tell; null for engines that are due.")
    order_by: datetime | None = Field(description="`lead_time_days` before it is due: when parts must be ordered.")
    order_late: bool = Field(description="Whether `order_by` has passed.")


def due_shown(row: EngineRow, judged: Judgement, lead_time: timedelta, now: datetime) -> dict[str, Any]:
    """The fields of an engine with its judgement."""
    order_by = None if judged.due is None else judged.due.at - lead_time
    return {
        "serial": row.serial,
        "site": row.site,
        "type": row.type,
        "status": row.status,
        "gateway": row.gateway,
        "position": row.position,
        "band": row.band,
        "rul": None if row.rul is None else rul_shown(row.rul),
        "utilisation": None if row.utilisation is None else row.utilisation._asdict(),
        "due": None if judged.due is None else judged.due._asdict(),
        "doubt": judged.doubt,
        "order_by": order_by,
        "order_late": order_by is not None and order_by < now,
    }


class DueCounts(BaseModel):
    """How many engines of those asked for; the three add up to all but the retired ones."""

    due: int = Field(description="Engines that are due before the date.")
    not_due: int = Field(description="Engines that last beyond it.")
    undetermined: int = Field(description="Engines of which nobody can tell.")


class DuePage(Page[EngineDue]):
    """Part of the engines that are due, the earliest first."""

    before: datetime = Field(description="When the day that was asked for begins.")
    confidence: float = Field(description="The probability that was asked with.")
    counts: DueCounts


class DueQuery(PageQuery[EngineDue]):
    """By when, how surely, and which engines."""

    before: Day = Field(description="Due before this day begins, in UTC.", examples=["2026-12-01"])
    confidence: float = Field(
        default=MOST_CAUTIOUS,
        ge=LEAST_CAUTIOUS,
        le=MOST_CAUTIOUS,
        description="With which probability an engine is to last until it is due; between the three calibrated "
        "quantiles, linear. 0.95 goes by q05 and is the most cautious, 0.9 is the field's B10 life.",
    )
    lead_time_days: int = Field(
        default=0, ge=0, le=3650, description="How many days before they are needed parts have to be ordered."
    )
    verdict: Literal["due", "undetermined"] = Field(
        default="due", description="`undetermined`: instead of those that are due, those of which nobody can tell."
    )
    site: Name | None = None
    type: str | None = Field(default=None, max_length=64, description="The kind of engine.", examples=["turbofan"])
