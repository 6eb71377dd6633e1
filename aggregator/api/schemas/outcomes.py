"""How models and alarms did over lives whose end is known."""

from statistics import median
from typing import Self

from pydantic import BaseModel, Field

from aggregator.api.schemas.alarms import RuleName
from aggregator.api.schemas.engines import EngineType
from aggregator.api.schemas.history import ModelReference
from aggregator.api.selection import FieldsQuery
from aggregator.fleet import scoring
from aggregator.fleet.scoring import figures_of
from aggregator.store.reads import outcomes


class Figures(BaseModel):
    """How a model did over lives that ended by failure, in all of its predictions that nobody asked for."""

    lives: int = Field(description="How many.")
    predictions: int = Field(description="How many were made in them.")
    rmse_cycles: float = Field(description="Of the mean, clipped to 0…cap, against what was left, at most the cap.")
    rmse_interval: tuple[float, float] | None = Field(
        description="In which it lies with a confidence of 95 %, from drawing lives anew; null of fewer than five."
    )
    mae_cycles: float = Field(description="Of the mean, on average, whatever its sign.")
    bias_cycles: float = Field(description="Above 0 it predicts too much.")
    score_mean: float = Field(description="The PHM08 score per prediction; predicting too much costs more.")
    rmse_near_failure_cycles: float | None = Field(description="Where 50 cycles or fewer were left.")
    coverage: float = Field(description="Which part of the intervals q05 to q95 held what was left; 0.9 is meant.")
    coverage_interval: tuple[float, float] | None = Field(description="As `rmse_interval`.")
    coverage_near_failure: float | None = Field(description="Where 50 cycles or fewer were left.")
    width_cycles: float = Field(description="From q05 to q95, on average.")

    @classmethod
    def of(cls, figures: scoring.Figures) -> Self:
        """Show figures."""
        return cls.model_validate(figures, from_attributes=True)


class Censored(BaseModel):
    """What is known over lives that ended by maintenance: nobody knows how long these engines would have lasted."""

    lives: int = Field(description="How many.")
    predictions: int = Field(description="How many were made in them.")
    too_low: int = Field(description="Predictions whose q95 was below what the engine lasted at least.")


class ModelLead(BaseModel):
    """How many cycles before a failure a model's predictions would first have raised an alarm."""

    rule: RuleName
    lives: int = Field(description="That ended by failure.")
    warned: int = Field(description="Of these, how many it spoke in.")
    least_cycles: int | None = Field(description="The least over these lives; null where it never spoke.")
    median_cycles: float | None = Field(description="The median over these lives.")

    @classmethod
    def of(cls, rule: str, leads: list[int | None]) -> Self:
        """Show the leads over some lives."""
        told = [lead for lead in leads if lead is not None]
        return cls(
            rule=rule,
            lives=len(leads),
            warned=len(told),
            least_cycles=min(told, default=None),
            median_cycles=median(told) if told else None,
        )


class ModelOutcome(BaseModel):
    """How a model did over the lives whose end is known."""

    model: ModelReference
    figures: Figures | None = Field(description="Null as long as no engine that it predicted has failed.")
    censored: Censored
    leads: list[ModelLead]

    @classmethod
    def of(cls, one: outcomes.ModelOutcome) -> Self:
        """Show what the store tells."""
        figures = figures_of(one.failed)
        return cls(
            model=ModelReference.model_validate(one.model, from_attributes=True),
            figures=None if figures is None else Figures.of(figures),
            censored=Censored(
                lives=len(one.censored),
                predictions=sum(life.predictions for life in one.censored),
                too_low=sum(life.too_low for life in one.censored),
            ),
            leads=[ModelLead.of(rule, leads) for rule, leads in sorted(one.leads.items())],
        )


class ModelOutcomeQuery(FieldsQuery[ModelOutcome]):
    """Over which lives."""

    type: EngineType | None = Field(default=None, description="Of engines of this type.")


class AlarmRuleOutcome(BaseModel):
    """How the alarms of a rule did."""

    rule: RuleName
    failures: int = Field(description="Engines that failed, of which anybody has told.")
    warned: int = Field(description="Of these, before how many this alarm was raised in that life.")
    least_days: float | None = Field(description="How long before, at least.")
    median_days: float | None = Field(description="How long before, by the median.")
    median_cycles: float | None = Field(description="By the predictions that had come by then.")
    work_orders: int = Field(description="Done, that were opened from such an alarm.")
    no_fault_found: int = Field(description="Of these; false alarms.")

    @classmethod
    def of(cls, one: outcomes.AlarmOutcome, failures: int) -> Self:
        """Show what the store tells."""
        days = [lead.days for lead in one.leads]
        cycles = [lead.cycles for lead in one.leads if lead.cycles is not None]
        return cls(
            rule=one.rule,
            failures=failures,
            warned=len(days),
            least_days=min(days, default=None),
            median_days=median(days) if days else None,
            median_cycles=median(cycles) if cycles else None,
            work_orders=one.outcomes.total(),
            no_fault_found=one.outcomes["no_fault_found"],
        )
