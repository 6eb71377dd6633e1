"""Events of the live stream: what has changed in the store, spelt once for all who listen."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from fastapi.sse import format_sse_event
from pydantic import BaseModel

from aggregator.access.roles import Sites
from aggregator.api.schemas.alarms import Alarm
from aggregator.api.schemas.engines import Engine
from aggregator.api.schemas.events import EventKind, QuarantineNews
from aggregator.api.schemas.gateways import Gateway
from aggregator.api.schemas.work_orders import WorkOrder
from aggregator.store.reads.changes import Changes, GatewayChange


class Position(NamedTuple):
    """How far a stream has come: changes by number, silence by time."""

    number: int
    at: datetime

    def id_in(self, epoch: str) -> str:
        """The id behind which a stream goes on, in any process over the same history of the same store."""
        return f"{epoch}.{self.number}.{int(self.at.timestamp() * 1000)}"


def position_of(event_id: str, epoch: str) -> Position | None:
    """The inverse of ``id_in``; None of what is no id, or one of another history.

    >>> position_of(Position(7, datetime(2026, 11, 22, tzinfo=UTC)).id_in("ab12"), "ab12").number
    7
    >>> position_of("ab12.7.0", "cd34") is position_of("7", "ab12") is None
    True
    """
    shown_epoch, *numbers = event_id.split(".")
    if shown_epoch != epoch or len(numbers) != 2 or not all(one.isascii() and one.isdecimal() for one in numbers):
        return None
    number, at_ms = (int(one[:20]) for one in numbers)
    if number >= 2**63 or at_ms >= 10**14:
        return None
    return Position(number, datetime.fromtimestamp(at_ms / 1000, UTC))


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that has changed, of a site, concerning some engines; ``text`` is how it stands in a stream."""

    site: str
    serials: frozenset[str]
    kind: EventKind
    text: bytes


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events a listener asks for; nothing means any."""

    kinds: frozenset[EventKind] = frozenset()
    site: str | None = None
    engine: str | None = None

    def includes(self, event: Event, sites: Sites) -> bool:
        """Whether an event is asked for, and may be seen by whoever may see these sites."""
        return (
            (sites is None or event.site in sites)
            and (not self.kinds or event.kind in self.kinds)
            and self.site in (None, event.site)
            and (self.engine is None or self.engine in event.serials)
        )


@dataclass(frozen=True, slots=True)
class Portion:
    """Events in the order in which they are told; whoever was told them goes on behind ``id``."""

    events: list[Event]
    id: str
    _told: dict[tuple[Wanted, Sites], bytes] = field(default_factory=dict)

    def told(self, wanted: Wanted, sites: Sites) -> bytes:
        """What a listener is told; only the last event has the id, because only then all of them are told."""
        text = self._told.get((wanted, sites))
        if text is None:
            texts = [event.text for event in self.events if wanted.includes(event, sites)]
            if texts:
                texts[-1] = spell_id(self.id) + texts[-1]
            text = self._told[wanted, sites] = b"".join(texts)
        return text


def spell(kind: str, shown: BaseModel) -> bytes:
    """An event as it stands in a stream."""
    return format_sse_event(event=kind, data_str=shown.model_dump_json())


def spell_id(event_id: str) -> bytes:
    """The line that says where to go on; clients keep it also where no event follows."""
    return f"id: {event_id}\n".encode()


def events_of(changes: Changes, silent: list[GatewayChange], now: datetime) -> Iterator[Event]:
    """Everything that has changed, and who has fallen silent, as it is now."""
    for row in changes.engines:
        yield Event(row.site, frozenset({row.serial}), "engine", spell("engine", Engine.of(row, now)))
    for gateway, last_record_at, serials in (*changes.gateways, *silent):
        shown = Gateway.of(gateway, last_record_at, now)
        yield Event(gateway.site, serials, "gateway", spell("gateway", shown))
    for one in changes.quarantined:
        serials = frozenset() if one.engine is None else frozenset({one.engine})
        yield Event(one.site, serials, "quarantine", spell("quarantine", QuarantineNews.of(one)))
    for alarm in changes.alarms:
        serials = frozenset() if alarm.serial is None else frozenset({alarm.serial})
        yield Event(alarm.site, serials, "alarm", spell("alarm", Alarm.of(alarm)))
    for order in changes.work_orders:
        yield Event(order.site, frozenset({order.serial}), "work_order", spell("work_order", WorkOrder.of(order)))
