"""Work orders, what people do about them, and what became of each."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from aggregator.api.paging import PageQuery
from aggregator.api.schemas.alarms import Text
from aggregator.api.schemas.installations import InstallationId
from aggregator.api.schemas.names import AwareUtc, Day, Name
from aggregator.api.schemas.overhauls import AfterCycle
from aggregator.api.selection import FieldsQuery
from aggregator.fleet import work_orders
from aggregator.fleet.alarms import Priority
from aggregator.fleet.work_orders import Outcome, Remedy, State
from aggregator.store.reads.work_orders import WorkOrderRow
from aggregator.store.tables import WorkOrderChange as ChangeRow

ALARMS_MAX = 100
LEAD_TIME_DAYS_MAX = 3650

Team = Annotated[Text, StringConstraints(max_length=100)]
LeadTime = Annotated[int, Field(strict=True, ge=0, le=LEAD_TIME_DAYS_MAX)]
AlarmIds = list[Annotated[int, Field(strict=True, ge=1, lt=2**63)]]


class WorkOrder(BaseModel):
    """Work on one engine."""

    id: int = Field(description="Names it for good.")
    state: State = Field(description="It is `planned` once it has a date.")
    engine: Name
    site: Name = Field(description="Where the engine is now.")
    installation_id: InstallationId | None = Field(description="Where it hung when this was opened.")
    priority: Priority
    reason: str
    planned_for: date | None
    parts_lead_time_days: int | None = Field(description="How long it takes until parts are there; null: nobody knows.")
    order_parts_by: date | None = Field(description="By when, with that lead time and for that day.")
    assigned_to: str | None = Field(description="A person or a team, in any words.")
    opened_at: datetime
    opened_by: str
    started_at: datetime | None
    closed_at: datetime | None = Field(description="When it was done, or cancelled.")
    outcome: Outcome | None
    remedy: Remedy | None = Field(description="What was done to an engine that had failed.")
    ended_at: datetime | None = Field(description="When what the outcome says was.")
    ended_cycle: int | None = Field(description="After which cycle of its source.")

    @classmethod
    def of(cls, row: WorkOrderRow) -> Self:
        """Show a work order of the store."""
        return cls(**_shown(row))


def _shown(row: WorkOrderRow) -> dict[str, Any]:
    order, by = row.order, None
    if order.planned_for is not None and order.parts_lead_time_days is not None:
        by = order.planned_for - timedelta(days=order.parts_lead_time_days)
    return order.model_dump(include={*WorkOrder.model_fields}) | {
        "engine": row.serial,
        "site": row.site,
        "order_parts_by": by,
    }


class WorkOrderChange(BaseModel):
    """One thing that became of a work order."""

    at: datetime
    who: str = Field(examples=["person anna"])
    action: Literal["opened", "edited", "linked", "started", "done", "cancelled", "corrected", "commented"]
    note: str | None = Field(description="What was said, changed, or found.")


class WorkOrderDetails(WorkOrder):
    """A work order with the alarms that it sees to, and what became of it."""

    alarms: list[int] = Field(description="The `id` of each.")
    changes: list[WorkOrderChange] = Field(description="The latest last; of a very long history, its last thousand.")

    @classmethod
    def of_details(cls, row: WorkOrderRow, alarms: list[int], changes: list[ChangeRow]) -> Self:
        """Show a work order of the store with its history."""
        told = [WorkOrderChange.model_validate(one, from_attributes=True) for one in changes]
        return cls(**_shown(row), alarms=alarms, changes=told)


class WorkOrderLine(NamedTuple):
    """One work order as a line of CSV."""

    id: int
    state: str
    engine: str
    site: str
    priority: str
    reason: str
    planned_for: date | None
    parts_lead_time_days: int | None
    order_parts_by: date | None
    assigned_to: str | None
    opened_at: datetime
    opened_by: str
    started_at: datetime | None
    closed_at: datetime | None
    outcome: str | None
    remedy: str | None
    ended_at: datetime | None
    ended_cycle: int | None


class WorkOrderFilterQuery(BaseModel):
    """Which work orders are wanted."""

    state: State | Literal["unfinished"] | None = Field(
        default=None, description="`unfinished`: neither done nor cancelled."
    )
    outcome: Outcome | None = None
    site: Name | None = None
    engine: Name | None = Field(default=None, description="Of this engine, by its serial.")
    assigned_to: Team | None = Field(default=None, description="Exactly this person or team.")
    opened_since: AwareUtc | None = Field(default=None, description="Those that were opened then or later.")


class WorkOrderQuery(PageQuery[WorkOrder], WorkOrderFilterQuery):
    """Which work orders are wanted, in pages."""


class WorkOrderFileQuery(FieldsQuery[WorkOrderLine], WorkOrderFilterQuery):
    """Which work orders are wanted in a file."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WorkOrderEdit(_Body):
    """What is to be edited of a work order; what is left out stays as it is."""

    reason: Text | None = Field(default=None, description="Null changes nothing.")
    priority: Priority | None = Field(default=None, description="Null changes nothing.")
    planned_for: Day | None = Field(default=None, description="Null: no day yet.")
    parts_lead_time_days: LeadTime | None = Field(default=None, description="Null: nobody knows.")
    assigned_to: Team | None = Field(default=None, description="Null: nobody in particular.")

    def said(self) -> dict[str, Any]:
        """What somebody says of the work order."""
        told = self.model_dump(include={*WorkOrderEdit.model_fields}, exclude_unset=True)
        return {name: value for name, value in told.items() if value is not None or name not in ("reason", "priority")}


class NewWorkOrder(WorkOrderEdit):
    """Work to be done on one engine."""

    engine: Name | None = Field(default=None, description="The serial; null: that of the alarms.")
    alarms: AlarmIds = Field(
        default=[],
        max_length=ALARMS_MAX,
        description="The `id` of each alarm that it is opened from; none where it is opened by hand.",
    )
    reason: Text | None = Field(default=None, description="Null: that of the most urgent of the alarms.")
    priority: Priority | None = Field(
        default=None, description="Null: that of the most urgent of the alarms; `medium` without any."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.engine is None and not self.alarms:
            raise ValueError("name the engine, or alarms of it")
        if self.reason is None and not self.alarms:
            raise ValueError("a work order that is opened by hand needs a reason")
        return self


class Linking(_Body):
    """More alarms that a work order is to see to."""

    ids: AlarmIds = Field(min_length=1, max_length=ALARMS_MAX, description="Of alarms of its engine.")


class Comment(_Body):
    """A comment."""

    text: Text


class Cancellation(_Body):
    """Why the work will not be done."""

    reason: Text = Field(examples=["the engine is retired"])


class Conclusion(_Body):
    """What the work has shown."""

    outcome: Outcome = Field(
        description="`failed`: the engine had failed, after `cycle`. `replaced`: it came off without having failed. "
        "`overhauled`: it is as new, without having failed. `no_fault_found`: it is as it was."
    )
    at: AwareUtc | None = Field(
        default=None, description="When it failed, came off, was overhauled, or found without a fault; null: now."
    )
    cycle: AfterCycle = None
    remedy: Remedy | None = Field(
        default=None,
        description="Of an engine that failed, what was done; the installation is ended, or the overhaul entered. "
        "Null where that is entered by itself.",
    )
    note: Text | None = Field(default=None, description="What was found.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.remedy is not None and self.outcome is not Outcome.FAILED:
            raise ValueError("a remedy is of an engine that failed; leave it out")
        if self.cycle is not None and self.outcome is Outcome.NO_FAULT_FOUND:
            raise ValueError("without a fault no life has ended at a cycle; leave it out")
        return self

    def concluded(self, now: datetime) -> work_orders.Conclusion:
        """As the store takes it."""
        return work_orders.Conclusion(self.outcome, self.at or now, self.cycle, self.remedy)


class Correction(Conclusion):
    """What the work has shown after all."""

    note: Text = Field(description="Why it is corrected.")
