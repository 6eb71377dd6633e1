"""Plans of removals: what a shop can do, what removals cost, and when which engine is to come off."""

from collections.abc import Mapping
from datetime import date
from typing import Self

from pydantic import BaseModel, Field, model_validator

from aggregator.api.schemas.names import Day, Name
from aggregator.api.selection import FieldsQuery
from aggregator.fleet.due import Doubt
from aggregator.fleet.planning import Costs, Plan, Removal, Shop, Total

COST_MAX = 1e12
FIRST_DAY_MIN, FIRST_DAY_MAX = date(2000, 1, 1), date(2199, 12, 31)


class PlannedRemoval(BaseModel):
    """An engine that is to come off."""

    serial: Name
    site: Name
    planned_for: date = Field(description="The first day of its week, in UTC; today where that has begun.")
    fails_before: float = Field(ge=0, le=1, description="The probability that it fails before that day.")
    wasted_cycles: float = Field(ge=0, description="Cycles that it has left on that day, in expectation.")
    loss: float = Field(
        ge=0,
        description="In expectation, in the currency of the costs: the additional cost of an unplanned removal times "
        "`fails_before`, and the wasted cycles.",
    )
    loss_if_left: float = Field(ge=0, description="The same if it is left on beyond the last week.")
    work_order_id: int | None = Field(description="Of a work order on it that has no day yet.")

    @classmethod
    def of(cls, removal: Removal, site: str, order_id: int | None) -> Self:
        """Show a removal."""
        told = removal._asdict()
        del told["engine_id"]
        return cls(**told, site=site, work_order_id=order_id)


class PlanTotal(BaseModel):
    """What a policy comes to over all engines that there is a choice for, in expectation."""

    planned_removals: int = Field(description="How many engines come off as planned.")
    unplanned_removals: float = Field(description="How many fail before they come off, or before the last week ends.")
    wasted_cycles: float = Field(description="Cycles that engines have left as they come off.")
    loss: float = Field(
        description="In the currency of the costs: what is paid beyond one planned removal of each engine at the very "
        "end of its life."
    )

    @classmethod
    def of(cls, total: Total) -> Self:
        """Show a total."""
        return cls(**total._asdict())


class PlanTotals(BaseModel):
    """What the plan comes to, and what two policies would that know no costs; with the same capacity."""

    plan: PlanTotal
    repair_at_q05: PlanTotal = Field(
        description="Each engine in the last week before its q05 is used up, or else in the next one with a place; the "
        "earliest due first."
    )
    run_to_failure: PlanTotal = Field(description="None comes off before it fails.")


class LeftOut(BaseModel):
    """How many engines nobody can plan for, by the reason; `GET /fleet/due` names them (`verdict=undetermined`)."""

    no_prediction: int = Field(description="The model has said nothing of them yet.")
    no_utilisation: int = Field(description="How many cycles they fly per day is not known.")
    not_installed: int = Field(description="They hang nowhere.")
    at_cap: int = Field(description="All cycles up to the model's cap are used up without a newer prediction.")


class PlanEngines(BaseModel):
    """How many engines in operation there are; `planned`, `left_on`, `given` and those left out add up to all."""

    planned: int = Field(description="Those listed.")
    left_on: int = Field(description="Those that stay on beyond the last week.")
    given: int = Field(description="Those that an unfinished work order has a day for, which they keep.")
    left_out: LeftOut


class FleetPlan(BaseModel):
    """When which engine is to come off so that the expected loss is least. Nothing is stored."""

    items: list[PlannedRemoval] = Field(description="By day, those first that would lose most if they were left on.")
    ends: date = Field(description="The day after the last week.")
    totals: PlanTotals
    engines: PlanEngines

    @classmethod
    def of(cls, plan: Plan, sites: Mapping[int, str], orders: Mapping[int, int], ends: date) -> Self:
        """Show a plan.

        Args:
            plan: what to show.
            sites: where engines are, by the key of their row; of others no removal is shown.
            orders: the work orders without a day, by the engine.
            ends: the day after the last week.
        """
        removals = (one for one in plan.removals if one.engine_id in sites)
        return cls(
            items=[PlannedRemoval.of(one, sites[one.engine_id], orders.get(one.engine_id)) for one in removals],
            ends=ends,
            totals=PlanTotals(**{policy.value: PlanTotal.of(total) for policy, total in plan.totals.items()}),
            engines=PlanEngines(
                planned=len(plan.removals),
                left_on=plan.judged - len(plan.removals),
                given=plan.given,
                left_out=LeftOut(**{doubt.value: plan.left_out.get(doubt, 0) for doubt in Doubt}),
            ),
        )


class PlanQuery(FieldsQuery[PlannedRemoval]):
    """What can be done, what it costs, and which engines."""

    capacity_per_week: int = Field(
        ge=0,
        le=1000,
        examples=[3],
        description="How many engines the shop can take off in a week. Unfinished work orders that have a day in it "
        "count, whatever is done; those that are late count for the first week.",
    )
    unplanned_removal_cost: float = Field(
        ge=0, le=COST_MAX, examples=[500000], description="Of an engine that fails first, in any currency."
    )
    planned_removal_cost: float = Field(
        ge=0, le=COST_MAX, examples=[100000], description="Of one that does not; in the same currency."
    )
    wasted_cycle_cost: float = Field(
        ge=0,
        le=COST_MAX,
        examples=[500],
        description="Of each cycle that an engine has left as it comes off; in the same currency. What a life costs, "
        "such as `planned_removal_cost`, divided by how many cycles it has, is a start.",
    )
    weeks: int = Field(default=8, ge=1, le=52, description="How many weeks of seven days are planned.")
    first_day: Day | None = Field(
        default=None,
        description="On which the first week begins, in UTC, such as this week's Monday; null: today.",
        examples=["2026-12-07"],
    )
    lead_time_days: int = Field(
        default=0,
        ge=0,
        le=3650,
        description="For how many days from today on none can come off, for lack of parts.",
    )
    site: Name | None = None
    type: str | None = Field(default=None, max_length=64, description="The kind of engine.", examples=["turbofan"])

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.unplanned_removal_cost < self.planned_removal_cost:
            raise ValueError("an unplanned removal that costs less than a planned one needs no plan")
        if self.first_day is not None and not FIRST_DAY_MIN <= self.first_day <= FIRST_DAY_MAX:
            raise ValueError(f"the first day is one from {FIRST_DAY_MIN} to {FIRST_DAY_MAX}")
        return self

    def costs(self) -> Costs:
        """What removals cost."""
        return Costs(self.unplanned_removal_cost, self.planned_removal_cost, self.wasted_cycle_cost)

    def shop(self, today: date) -> Shop:
        """What can be done when."""
        return Shop(self.capacity_per_week, self.weeks, self.first_day or today, self.lead_time_days)
