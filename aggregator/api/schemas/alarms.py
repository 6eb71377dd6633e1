"""Alarms, what people do about them, and what became of each."""

from datetime import datetime
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from aggregator.api.paging import PageQuery
from aggregator.api.schemas.names import AwareUtc, Name
from aggregator.api.selection import FieldsQuery
from aggregator.fleet.alarms import Priority
from aggregator.fleet.conditions import Kind
from aggregator.store.reads.alarms import AlarmRow, State
from aggregator.store.tables import AlarmChange as ChangeRow

ACKNOWLEDGED_AT_ONCE = 500
SHELVED_AT_MOST_DAYS = 30

RuleName = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", description="Lower case, with `-`.", examples=["rul-critical"])
]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000, pattern=r"^[^\x00]*$")]


class Alarm(BaseModel):
    """An alarm of an engine or of a gateway."""

    id: int = Field(description="Names it for good; later alarms have higher ones.")
    rule: RuleName
    kind: Kind
    priority: Priority = Field(description="How soon somebody should act; in the words of ISA-18.2.")
    state: State = Field(
        description="`active`: that for which it was raised lasts. `cleared`: it is over, and nobody has acknowledged "
        "it. `closed`: cleared and acknowledged, or resolved by somebody."
    )
    site: Name = Field(description="Where the engine or gateway is now.")
    engine: Name | None = Field(description="The serial; null of an alarm of a gateway.")
    gateway: Name | None = Field(description="The name; null of an alarm of an engine.")
    reason: str = Field(description="What was seen when it was raised last.")
    cycle: int | None = Field(description="Of the record by which it was raised last, if it was one.")
    raised_at: datetime = Field(description="For the first time.")
    times_raised: int = Field(description="It is raised again where it was cleared and not closed.")
    cleared_at: datetime | None = Field(description="Null while it is active.")
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    assigned_to: str | None
    shelved_until: datetime | None = Field(description="Until then nobody wants to be told of it.")
    closed_at: datetime | None
    resolution: str | None = Field(description="For what reason somebody has closed it.")
    work_order_id: int | None = Field(description="Of the work order that sees to it.")
    priority_at: datetime = Field(description="Since when it has its priority.")
    priority_set_by: str | None = Field(
        description="Who has set its priority, which then stays; null: the rule, and where that says so, its age.",
        examples=["person anna"],
    )

    @classmethod
    def of(cls, row: AlarmRow) -> Self:
        """Show an alarm of the store."""
        return cls(**_shown(row))


def _shown(row: AlarmRow) -> dict[str, object]:
    alarm = row.alarm
    state: State = "active" if alarm.cleared_at is None else "cleared"
    return alarm.model_dump(exclude={"engine_id", "gateway_id"}) | {
        "priority_at": alarm.priority_at or alarm.raised_at,
        "state": "closed" if alarm.closed_at is not None else state,
        "site": row.site,
        "engine": row.serial,
        "gateway": row.gateway,
    }


class AlarmChange(BaseModel):
    """One thing that became of an alarm."""

    at: datetime
    who: str = Field(examples=["the centre", "person anna"])
    action: Literal[
        "raised",
        "escalated",
        "cleared",
        "acknowledged",
        "shelved",
        "unshelved",
        "assigned",
        "commented",
        "prioritised",
        "taken_up",
        "let_go",
        "resolved",
    ]
    note: str | None = Field(description="What was seen, said, or for what reason.")


class AlarmDetails(Alarm):
    """An alarm with what became of it."""

    changes: list[AlarmChange] = Field(description="The latest last; of a very long history, its last thousand.")

    @classmethod
    def of_details(cls, row: AlarmRow, changes: list[ChangeRow]) -> Self:
        """Show an alarm of the store with its history."""
        told = [AlarmChange.model_validate(one, from_attributes=True) for one in changes]
        return cls(**_shown(row), changes=told)


class AlarmLine(NamedTuple):
    """One alarm as a line of CSV."""

    id: int
    rule: str
    kind: str
    priority: str
    state: str
    site: str
    engine: str | None
    gateway: str | None
    reason: str
    cycle: int | None
    raised_at: datetime
    times_raised: int
    cleared_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    assigned_to: str | None
    shelved_until: datetime | None
    closed_at: datetime | None
    resolution: str | None
    work_order_id: int | None
    priority_at: datetime
    priority_set_by: str | None


class AlarmFilterQuery(BaseModel):
    """Which alarms are wanted."""

    state: State | Literal["open"] | None = Field(default=None, description="`open`: whatever is not closed.")
    priority: Priority | None = None
    kind: Kind | None = Field(default=None, description="The kind of condition of their rule.")
    site: Name | None = None
    engine: Name | None = Field(default=None, description="Alarms of this engine, by its serial.")
    gateway: Name | None = Field(default=None, description="Alarms of this gateway itself, not of its engines.")
    acknowledged: bool | None = Field(default=None, description="Whether somebody has said that they have seen it.")
    shelved: bool | None = Field(default=None, description="Whether it is put aside at this moment.")


class AlarmQuery(PageQuery[Alarm], AlarmFilterQuery):
    """Which alarms are wanted, in pages."""


class AlarmFileQuery(FieldsQuery[AlarmLine], AlarmFilterQuery):
    """Which alarms are wanted in a file."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Shelving(_Body):
    """Until when nobody wants to be told of an alarm."""

    until: AwareUtc = Field(description=f"At most {SHELVED_AT_MOST_DAYS} days ahead.")


class Comment(_Body):
    """A comment."""

    text: Text


class Assignment(_Body):
    """Who sees to an alarm."""

    to: Annotated[Text, StringConstraints(max_length=100)] | None = Field(description="Null: nobody in particular.")


class Prioritisation(_Body):
    """Which priority an alarm is to have, and why."""

    priority: Priority
    reason: Text = Field(examples=["the engine is on the ground"])


class Resolution(_Body):
    """Why an alarm is closed."""

    reason: Text = Field(examples=["replaced", "no fault found"])


class Acknowledgements(_Body):
    """Alarms to be acknowledged at once."""

    ids: list[Annotated[int, Field(strict=True, ge=1, lt=2**63)]] = Field(
        min_length=1, max_length=ACKNOWLEDGED_AT_ONCE, description="Of alarms at sites where one is a technician."
    )


class Acknowledged(BaseModel):
    """Which alarms were acknowledged."""

    ids: list[int] = Field(description="Those that are not here were acknowledged or closed already, or are not there.")
