"""Who is told of alarms, and what they were told."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from aggregator.api.paging import PageQuery
from aggregator.api.schemas.alarms import Alarm, AlarmChange
from aggregator.api.schemas.names import Name
from aggregator.api.schemas.work_orders import WorkOrder, WorkOrderChange
from aggregator.fleet.notifying import Event, Wishes
from aggregator.store.reads.notifications import NotificationRow, State
from aggregator.store.tables import Receiver as Row

SENT_AGAIN_AT_ONCE = 500

Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2000,
        pattern=r"^[^\x00-\x20]+$",
        description="Of kind `apprise`: as Apprise writes it, such as `mailtos://user:password@mail.example.org?"
        "from=spoolwatch@example.org&to=team@example.org`. Of kind `cloudevents`: https, or http to this machine. "
        "It is never shown again.",
    ),
]
_SITE = "The one site of whose alarms it is told; null for all."
_VIA = "What may be shown of its URL: the service of Apprise, or scheme and host."


class ReceiverContent(BaseModel):
    """What can be edited of a receiver."""

    model_config = ConfigDict(extra="forbid")

    url: Url | None = Field(default=None, description="Leave it out to keep the one that there is.")
    wishes: Wishes = Wishes()
    enabled: bool = Field(
        default=True, strict=True, description="False: it is told nothing, and what waits is dropped."
    )


class NewReceiver(BaseModel):
    """A receiver that is to be told from now on."""

    model_config = ConfigDict(extra="forbid")

    name: Name = Field(description="A name of its own among all receivers.")
    site: Name | None = Field(default=None, description=_SITE)
    kind: Literal["apprise", "cloudevents"] = Field(
        description="`apprise`: people, by mail, Teams, Slack and so on. `cloudevents`: machines, by signed webhooks."
    )
    url: Url
    wishes: Wishes = Wishes()
    enabled: bool = Field(default=True, strict=True)


class Receiver(BaseModel):
    """Who is told of alarms."""

    id: int = Field(description="Names it for good.")
    name: Name
    site: Name | None = Field(description=_SITE)
    kind: Literal["apprise", "cloudevents"]
    via: str = Field(description=_VIA)
    wishes: Wishes
    enabled: bool
    problem: str | None = Field(description="What came of the last attempt, where it failed.")
    paused_until: datetime | None = Field(description="Until then it is left alone, because it failed.")

    @classmethod
    def of(cls, row: Row) -> Self:
        """Show a receiver of the store."""
        return cls(**_shown(row))


def _shown(row: Row) -> dict[str, Any]:
    shown = row.model_dump(include={"id", "name", "kind", "via", "wishes"})
    lately = {"problem": row.problem, "paused_until": row.paused_until}
    return shown | {"site": row.site or None, "enabled": row.is_enabled} | lately


class MadeReceiver(Receiver):
    """A receiver with the secret that was just drawn."""

    secret: str | None = Field(
        description="By which a receiver of kind `cloudevents` checks signatures (Standard Webhooks); it stands "
        "nowhere but here."
    )

    @classmethod
    def of_made(cls, row: Row, secret: str | None) -> Self:
        """Show a receiver that was just made."""
        return cls(**_shown(row), secret=secret)


class Rotation(BaseModel):
    """For how long the present secret stays good beside the new one."""

    model_config = ConfigDict(extra="forbid")

    overlap_s: int = Field(
        default=86_400,
        strict=True,
        ge=0,
        le=30 * 86_400,
        description="For so many seconds events carry two signatures, of the new secret and of the present one.",
    )


class ReceiverList(BaseModel):
    """All receivers that one looks after, by name."""

    items: list[Receiver]


class Tested(BaseModel):
    """What came of a test."""

    sent: bool
    detail: str = Field(description="In words.", examples=["the connection was refused: nobody listens there"])


class Notification(BaseModel):
    """One thing that a receiver is told."""

    id: int = Field(description="Names it for good; later ones have higher ones.")
    event_id: str = Field(description="The `id` of the CloudEvent, the same however often it is sent.")
    receiver: Name
    event: Event
    alarm: int | None = Field(description="The `id` of the alarm; null of a work order.")
    state: State = Field(
        description="`waiting`: for its time, or to be tried again. `sent`. `dead`: given up, after a day or because "
        "it was refused; it can be sent again. `withdrawn`: nobody needed to be told any more."
    )
    made_at: datetime
    due_at: datetime
    attempts: int = Field(description="That failed.")
    ended_at: datetime | None = Field(description="When it was sent, given up or withdrawn.")
    error: str | None = Field(description="What came of the last attempt, or why it was withdrawn.")

    @classmethod
    def of(cls, row: NotificationRow) -> Self:
        """Show a notification of the store."""
        shown = row.notification.model_dump() | {"receiver": row.receiver, "alarm": row.notification.alarm_id}
        return cls(**{name: value for name, value in shown.items() if name in cls.model_fields})


class AlarmNews(BaseModel):
    """What became of an alarm."""

    alarm: Alarm = Field(description="As it was when that was decided.")
    change: AlarmChange


class WorkOrderNews(BaseModel):
    """What became of a work order."""

    work_order: WorkOrder = Field(description="As it was when that was decided.")
    change: WorkOrderChange


class ChangeEvent(BaseModel):
    """A CloudEvent 1.0 in structured JSON."""

    specversion: Literal["1.0"]
    id: str = Field(description="The same however often it is sent, as is the header `webhook-id`.")
    source: str = Field(description="Of this centre; with `id` it names the event.", examples=["urn:uuid:…"])
    type: str = Field(
        description="`spoolwatch.` and the event.", examples=["spoolwatch.alarm.raised", "spoolwatch.work_order.done"]
    )
    subject: str = Field(description="The engine or gateway.", examples=["engines/ESN-1001", "gateways/gw-1"])
    time: datetime = Field(description="When it happened.")
    datacontenttype: Literal["application/json"]
    data: AlarmNews | WorkOrderNews


class NotificationQuery(PageQuery[Notification]):
    """Which notifications are wanted."""

    state: State | None = Field(default=None, description="How far they have come.")
    receiver: Name | None = None


class SendAgain(BaseModel):
    """Which notifications are to be sent again."""

    model_config = ConfigDict(extra="forbid")

    ids: list[Annotated[int, Field(strict=True, ge=1, lt=2**63)]] = Field(
        min_length=1, max_length=SENT_AGAIN_AT_ONCE, description="Of notifications in state `dead`."
    )


class SentAgain(BaseModel):
    """Which are."""

    ids: list[int] = Field(description="Without those that were not given up, or that one does not look after.")
