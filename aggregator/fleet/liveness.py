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
    if signs is None:
        return Liveness(LinkState.NEVER_SEEN, "not installed at any gateway")
    if signs.status is None:
        return _without_status(signs.last_record_at, now, patience)
    if signs.status.event in ("birth", "heartbeat"):
        return _by_heartbeat(signs.status, signs.last_record_at, now, patience)
    return _after_farewell(signs.status, signs.last_record_at, now, patience)


def silent_from(signs: Signs, patience: Patience = PATIENCE) -> datetime | None:
    """When a link that nothing more is heard of ceases to be online by that alone; None if nothing ever was heard."""
    status_at = None if signs.status is None else signs.status.received_at
    heard_at = [at for at in (status_at, signs.last_record_at) if at is not None]
    if not heard_at:
        return None
    allowed_s = patience.default_s if signs.status is None else signs.status.heartbeat_interval_s * patience.intervals
    return max(heard_at) + timedelta(seconds=allowed_s)


def _without_status(last_record_at: datetime | None, now: datetime, patience: Patience) -> Liveness:
    if last_record_at is None:
        return Liveness(LinkState.NEVER_SEEN, "its gateway was never heard from")
    age_s = _seconds(last_record_at, now)
    if age_s <= patience.default_s:
        return Liveness(LinkState.ONLINE, "records arrive although its gateway never sent a status")
    return Liveness(LinkState.STALE, f"last record {in_words(age_s)} ago, and its gateway never sent a status")


def _by_heartbeat(status: LastStatus, last_record_at: datetime | None, now: datetime, patience: Patience) -> Liveness:
    silent_s = _seconds(status.received_at, now)
    allowed_s = status.heartbeat_interval_s * patience.intervals
    if silent_s <= allowed_s:
        said = "heartbeat on time," if status.event == "heartbeat" else "has just started, heartbeat"
        return Liveness(LinkState.ONLINE, f"{said} promised every {status.heartbeat_interval_s:g} s")
    late = in_words(silent_s - status.heartbeat_interval_s)
    if last_record_at is None:
        return Liveness(LinkState.STALE, f"heartbeat {late} late, and no record yet")
    record_age_s = _seconds(last_record_at, now)
    if record_age_s <= allowed_s:
        return Liveness(LinkState.ONLINE, f"records arrive although the heartbeat is {late} late")
    return Liveness(LinkState.STALE, f"heartbeat {late} late, last record {in_words(record_age_s)} ago")


def _after_farewell(status: LastStatus, last_record_at: datetime | None, now: datetime, patience: Patience) -> Liveness:
    at = f"at {status.received_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    said, although = _STOPPED if status.event == "stopped" else _WILL
    if (
        last_record_at is not None
        and _seconds(status.received_at, last_record_at) > patience.settle_s
        and _seconds(last_record_at, now) <= status.heartbeat_interval_s * patience.intervals
    ):
        return Liveness(LinkState.ONLINE, f"records arrive although {although} {at}")
    return Liveness(LinkState.OFFLINE, f"{said} {at}")


def _seconds(earlier: datetime, later: datetime) -> float:
    return (later - earlier).total_seconds()
