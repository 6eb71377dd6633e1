"""Liveness: whether an engine is heard from, derived from status messages and records together, with the reason.

All times are the centre's own, so that a gateway with a wrong clock is not taken for a dead one.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from aggregator.fleet.durations import in_words


class LinkState(StrEnum):
    """Whether an engine's gateway is heard from; ``stale`` says it is online but is silent."""

    ONLINE = "online"
    STALE = "stale"
    OFFLINE = "offline"
    NEVER_SEEN = "never_seen"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long silence is borne.

    Attributes:
        intervals: heartbeat intervals without a heartbeat or record before a gateway counts as silent.
        settle_s: records committed this soon after a farewell were already under way when it was said.
        default_s: what stands for ``intervals`` heartbeats of a gateway that never sent a status.
    """

    intervals: float = 2.5
    settle_s: float = 5
    default_s: float = 60


PATIENCE = Patience()

_STOPPED = ("stopped by its operator", "it was stopped by its operator")
_WILL = ("last will received", "its last will was received")


class LastStatus(NamedTuple):
    """The last status message of a gateway.

    Attributes:
        event: birth, heartbeat, stopped or will.
        received_at: when the centre received it.
        heartbeat_interval_s: the interval it promised.
    """

    event: str
    received_at: datetime
    heartbeat_interval_s: float


class Signs(NamedTuple):
    """What was heard from a gateway; ``last_record_at`` is when the centre received its last record."""

    status: LastStatus | None = None
    last_record_at: datetime | None = None


class Liveness(NamedTuple):
    """The state of a link and the one sentence that says why."""

    state: LinkState
    reason: str


def liveness_of(signs: Signs | None, now: datetime, patience: Patience = PATIENCE) -> Liveness:
    """Derive liveness from the signs of one gateway, or None for an engine that is installed at none."""
    return Liveness(state_of(signs, now, patience), _reason(signs, now, patience))


def state_of(signs: Signs | None, now: datetime, patience: Patience = PATIENCE) -> LinkState:
    """The state without the sentence, which takes longest of thousands."""
    if signs is None:
        return LinkState.NEVER_SEEN
    status, last_record_at = signs
    if status is None:
        if last_record_at is None:
            return LinkState.NEVER_SEEN
        return LinkState.ONLINE if _seconds(last_record_at, now) <= patience.default_s else LinkState.STALE
    allowed_s = status.heartbeat_interval_s * patience.intervals
    is_well = status.event in ("birth", "heartbeat")
    if is_well and _seconds(status.received_at, now) <= allowed_s:
        return LinkState.ONLINE
    records_arrive = last_record_at is not None and _seconds(last_record_at, now) <= allowed_s
    # After a farewell those do not count that were already under way.
    if records_arrive and (is_well or _seconds(status.received_at, last_record_at or now) > patience.settle_s):
        return LinkState.ONLINE
    return LinkState.STALE if is_well else LinkState.OFFLINE


def silent_from(signs: Signs, patience: Patience = PATIENCE) -> datetime | None:
    """When a link that nothing more is heard of ceases to be online by that alone; None if nothing ever was heard."""
    status_at = None if signs.status is None else signs.status.received_at
    heard_at = [at for at in (status_at, signs.last_record_at) if at is not None]
    if not heard_at:
        return None
    allowed_s = patience.default_s if signs.status is None else signs.status.heartbeat_interval_s * patience.intervals
    return max(heard_at) + timedelta(seconds=allowed_s)


def _reason(signs: Signs | None, now: datetime, patience: Patience) -> str:
    if signs is None:
        return "not installed at any gateway"
    state = state_of(signs, now, patience)
    if signs.status is None:
        return _why_without_status(state, signs.last_record_at, now)
    if signs.status.event in ("birth", "heartbeat"):
        return _why_by_heartbeat(state, signs.status, signs.last_record_at, now, patience)
    at = f"at {signs.status.received_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    said, although = _STOPPED if signs.status.event == "stopped" else _WILL
    return f"records arrive although {although} {at}" if state is LinkState.ONLINE else f"{said} {at}"


def _why_without_status(state: LinkState, last_record_at: datetime | None, now: datetime) -> str:
    if last_record_at is None:
        return "its gateway was never heard from"
    if state is LinkState.ONLINE:
        return "records arrive although its gateway never sent a status"
    return f"last record {in_words(_seconds(last_record_at, now))} ago, and its gateway never sent a status"


def _why_by_heartbeat(
    state: LinkState, status: LastStatus, last_record_at: datetime | None, now: datetime, patience: Patience
) -> str:
    silent_s = _seconds(status.received_at, now)
    if silent_s <= status.heartbeat_interval_s * patience.intervals:
        said = "heartbeat on time," if status.event == "heartbeat" else "has just started, heartbeat"
        return f"{said} promised every {status.heartbeat_interval_s:g} s"
    late = in_words(silent_s - status.heartbeat_interval_s)
    if last_record_at is None:
        return f"heartbeat {late} late, and no record yet"
    if state is LinkState.ONLINE:
        return f"records arrive although the heartbeat is {late} late"
    return f"heartbeat {late} late, last record {in_words(_seconds(last_record_at, now))} ago"


def _seconds(earlier: datetime, later: datetime) -> float:
    return (later - earlier).total_seconds()
