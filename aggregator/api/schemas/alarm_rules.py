"""The rules of alarms, and what a rule would have raised."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from aggregator.api.schemas.alarms import RuleName
from aggregator.api.schemas.names import Name
from aggregator.fleet.alarms import Priority, Rule
from aggregator.fleet.conditions import Condition, Duration, OfRecords
from aggregator.store.alarm_rules import StoredRule
from aggregator.store.reads.alarm_simulation import Raised

SIMULATED_DAYS_MAX = 366
SIMULATED_AT_ONCE = 1000

EngineType = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00]*$")]
_SITE = "The one site that it is for; null for all."
_TYPE = "The one type of engine that it is for; null for all."
_ESCALATES = (
    "An alarm that is active and that nobody has acknowledged for so many seconds becomes one priority more urgent, "
    "and again after as long. Null: it keeps its priority."
)


class RuleContent(BaseModel):
    """What can be edited of a rule."""

    model_config = ConfigDict(extra="forbid")

    priority: Priority = Field(description="How soon somebody should act; in the words of ISA-18.2.")
    enabled: bool = Field(default=True, strict=True, description="False: what it covers gets no such alarms.")
    condition: Condition
    escalates_after_s: Duration | None = Field(default=None, description=_ESCALATES)


class NewRule(RuleContent):
    """A rule that is to be followed from now on."""

    name: RuleName = Field(
        description="With the name of another rule, it goes before that one where it applies: for a type before for a "
        "site, and for either before for all. All rules of a name are of one kind."
    )
    site: Name | None = Field(default=None, description=_SITE)
    type: EngineType | None = Field(default=None, description=_TYPE)

    @model_validator(mode="after")
    def _gateways_have_no_type(self) -> Self:
        if self.type is not None and self.condition.subject == "gateway":
            raise ValueError(f"a rule of kind {self.condition.kind} is about gateways, which have no type")
        return self

    def rule(self) -> Rule:
        """As the store takes it."""
        scope = self.site or "", self.type or ""
        return Rule(self.name, self.priority, self.condition, *scope, self.enabled, self.escalates_after_s)


class AlarmRule(BaseModel):
    """A rule by which alarms are raised."""

    id: int = Field(description="Names it for good.")
    name: RuleName
    site: Name | None = Field(description=_SITE)
    type: str | None = Field(description=_TYPE)
    priority: Priority
    enabled: bool
    condition: Condition
    escalates_after_s: float | None = Field(description=_ESCALATES)

    @classmethod
    def of(cls, stored: StoredRule) -> Self:
        """Show a rule of the store."""
        rule = stored.rule
        return cls(
            id=stored.row.id or 0,
            name=rule.name,
            site=rule.site or None,
            type=rule.type or None,
            priority=rule.priority,
            enabled=rule.is_enabled,
            condition=rule.condition,
            escalates_after_s=rule.escalates_after_s,
        )


class AlarmRuleList(BaseModel):
    """All rules that one may see, by name and scope."""

    items: list[AlarmRule]


class Simulation(BaseModel):
    """A condition to be tried on what was recorded, and on which of it."""

    model_config = ConfigDict(extra="forbid")

    condition: Annotated[OfRecords, Field(discriminator="kind")]
    days: int = Field(default=30, strict=True, ge=1, le=SIMULATED_DAYS_MAX, description="So many days back from now.")
    site: Name | None = None
    type: EngineType | None = None
    engine: Name | None = Field(default=None, description="Only this engine, by its serial.")
    cursor: str | None = Field(default=None, max_length=500, description="`next` of the answer before.")
    limit: int = Field(
        default=SIMULATED_AT_ONCE, strict=True, ge=1, le=SIMULATED_AT_ONCE, description="How many engines at most."
    )


class WouldBe(BaseModel):
    """An alarm that would have been raised."""

    engine: Name
    site: Name
    raised_at: datetime = Field(description="When the centre received the record that would have raised it.")
    cycle: int = Field(description="Of that record, as its source counts.")
    reason: str
    cleared_at: datetime | None = Field(description="Null where it would be active still.")

    @classmethod
    def of(cls, raised: Raised) -> Self:
        """Show what the store tells."""
        return cls.model_validate(raised, from_attributes=True)


class Simulated(BaseModel):
    """What a rule would have raised."""

    since: datetime
    engines: int = Field(description="How many engines were looked at.")
    records: int = Field(description="How many predictions or rows of them.")
    raised: list[WouldBe] = Field(description="By engine and time.")
    next: str | None = Field(description="The `cursor` to go on with; null where all engines were looked at.")
