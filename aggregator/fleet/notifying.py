"""The rules of notification: who is told of what, when, and when to try again."""

from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Literal, NamedTuple, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from aggregator.fleet.alarms import Priority
from shared.backoff import full_jitter_s

FIRST_RETRY_S = 5.0
RETRY_CAP_S = 900.0
RETRY_AFTER_MAX_S = 3600.0
"""No receiver makes us wait for longer: what it asks for may be a mistake, and alarms do not wait for ever."""
GIVE_UP_AFTER = timedelta(hours=24)

Event = Literal[
    "alarm.raised",
    "alarm.escalated",
    "alarm.cleared",
    "alarm.acknowledged",
    "alarm.assigned",
    "alarm.commented",
    "alarm.shelved",
    "alarm.unshelved",
    "alarm.prioritised",
    "alarm.resolved",
    "work_order.opened",
    "work_order.edited",
    "work_order.linked",
    "work_order.started",
    "work_order.done",
    "work_order.cancelled",
    "work_order.corrected",
    "work_order.commented",
]
CALLS = frozenset({"alarm.raised", "alarm.escalated"})
"""Events by which the centre calls for somebody."""
OF_THE_CENTRE = CALLS | {"alarm.cleared"}
"""What the centre sees of alarms; all else is what people do about them."""


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"{name!r} is no time zone of the IANA database; write it like Europe/Berlin")
    return name


Zone = Annotated[str, Field(max_length=64), AfterValidator(_known_zone)]
Minute = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", examples=["22:00"])]


class _Wish(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class QuietHours(_Wish):
    """The hours of each day, by the clocks of a zone, in which nobody is told what can wait; they may span midnight."""

    begin: Minute = Field(examples=["20:00"])
    end: Minute = Field(examples=["06:00"])
    zone: Zone = Field(examples=["Europe/Berlin"])

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.begin == self.end:
            raise ValueError("quiet hours begin and end at the same minute; leave them out, or disable the receiver")
        return self

    def end_of(self, at: datetime) -> datetime:
        """When the quiet hours end that ``at`` is in; ``at`` itself where it is in none.

        >>> night = QuietHours(begin="20:00", end="06:00", zone="Europe/Berlin")
        >>> str(night.end_of(datetime(2026, 12, 1, 22, 30, tzinfo=UTC)))
        '2026-12-02 05:00:00+00:00'
        """
        local = at.astimezone(ZoneInfo(self.zone))
        begin, end = time.fromisoformat(self.begin), time.fromisoformat(self.end)
        now = local.time()
        if not (begin <= now < end if begin < end else now >= begin or now < end):
            return at
        day = local.date() + timedelta(days=1) if now >= end else local.date()
        over = datetime.combine(day, end, local.tzinfo)
        # Where clocks are changed, the end comes twice or never; the later way to read it is the quiet one.
        return max(at, *(over.replace(fold=fold).astimezone(UTC) for fold in (0, 1)))


class Wishes(_Wish):
    """What a receiver wants to be told, and when."""

    events: tuple[Event, ...] = Field(
        default=("alarm.raised", "alarm.escalated"),
        min_length=1,
        max_length=20,
        description="What of alarms and work orders is told.",
    )
    priority: Priority = Field(
        default=Priority.LOW, description="Alarms and work orders of this priority or a more urgent one."
    )
    digest_s: int | None = Field(
        default=None,
        strict=True,
        ge=10,
        le=7 * 86_400,
        description="What comes in so many seconds from the first on is one message.",
    )
    quiet_hours: QuietHours | None = None
    at_once: Priority | None = Field(
        default=Priority.URGENT,
        description="From this priority on neither `digest_s` nor quiet hours hold anything back; null: they always "
        "do.",
    )
    unacknowledged_for_s: int | None = Field(
        default=None,
        strict=True,
        ge=10,
        le=30 * 86_400,
        description="Is told of a raised or escalated alarm only so many seconds later, and only if nobody has "
        "acknowledged it by then and it is not over: the one to turn to when the first does not answer.",
    )

    @model_validator(mode="after")
    def _one_delay(self) -> Self:
        if self.digest_s is not None and self.unacknowledged_for_s is not None:
            raise ValueError("digest_s collects and unacknowledged_for_s waits for somebody: take a receiver for each")
        return self


class News(NamedTuple):
    """Something that became of an alarm or work order: what, where, how urgent it is, until when it is put aside."""

    event: str
    site: str
    priority: Priority
    at: datetime
    shelved_until: datetime | None = None


def reaches(priority: Priority, least: Priority) -> bool:
    """Whether a priority is at least as urgent as another one.

    >>> reaches(Priority.HIGH, Priority.MEDIUM), reaches(Priority.LOW, Priority.MEDIUM)
    (True, False)
    """
    ladder = list(Priority)
    return ladder.index(priority) >= ladder.index(least)


def wants(wishes: Wishes, site: str, news: News) -> bool:
    """Whether a receiver of a site, or of all (an empty one), wants to be told.

    Of an alarm that is shelved nobody is told what the centre sees; what people do about it is still told.
    """
    is_shelved = news.shelved_until is not None and news.shelved_until > news.at
    return (
        news.event in wishes.events
        and site in ("", news.site)
        and reaches(news.priority, wishes.priority)
        and not (is_shelved and news.event in OF_THE_CENTRE)
    )


def due_at(wishes: Wishes, news: News, now: datetime, digest_at: datetime | None = None) -> datetime:
    """When a receiver is told.

    Args:
        wishes: of the receiver.
        news: what it wants to be told.
        now: when that is decided.
        digest_at: when the digest goes out that is being collected, if one is.
    """
    at = now
    if wishes.unacknowledged_for_s is not None and news.event in CALLS:
        at = max(at, news.at + timedelta(seconds=wishes.unacknowledged_for_s))
    if wishes.at_once is not None and reaches(news.priority, wishes.at_once):
        return at
    if wishes.digest_s is not None:
        at = max(at, digest_at or now + timedelta(seconds=wishes.digest_s))
    return at if wishes.quiet_hours is None else wishes.quiet_hours.end_of(at)


def retry_in_s(attempt: int, wanted_s: float | None = None) -> float:
    """Seconds until a receiver that failed so many times in a row is tried again; ``wanted_s`` is what it asked for."""
    if wanted_s is not None:
        return min(max(wanted_s, 1.0), RETRY_AFTER_MAX_S)
    return full_jitter_s(attempt, first_s=FIRST_RETRY_S, cap_s=RETRY_CAP_S)
