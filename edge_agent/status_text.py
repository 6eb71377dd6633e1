"""What ``spoolwatch-agent status`` prints: JSON for scripts, or lines for people."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from edge_agent.centre import skew_text
from edge_agent.local import View
from edge_agent.status import EngineView, LocalStatus
from shared.messages import SourceStatus, Status
from shared.wording import rul_text

RED, GREEN, PLAIN = "\033[31m", "\033[32m", "\033[0m"
WAITING = {
    "nothing": "",
    "telemetry": "; telemetry waits for the next day",
    "backlog": "; telemetry and what is old wait for the next day",
    "records": "; all records wait for the next day",
}


class Line(NamedTuple):
    """One line: what it is about, how that is, and whether something is wrong with it."""

    topic: str
    text: str
    is_wrong: bool = False


def render(view: View, *, as_json: bool, colour: bool = False) -> str:
    """The view as JSON, or as lines for people; in colour what is wrong is red, and an agent that runs green."""
    if as_json:
        return msgspec.json.encode(view).decode()
    return "\n".join(_painted(line) if colour else _plain(line) for line in _lines(view))


def _plain(line: Line) -> str:
    return f"{line.topic:<10} {line.text}"


def _painted(line: Line) -> str:
    if line.is_wrong or line.topic == "agent":
        return f"{RED if line.is_wrong else GREEN}{_plain(line)}{PLAIN}"
    return _plain(line)


def _lines(view: View) -> Iterator[Line]:
    outbox = view.outbox
    yield Line("agent", "running" if view.running else "not running", not view.running)
    yield Line("outbox", f"{outbox.unacked} records wait for the centre, {outbox.size_bytes / 1e6:.1f} MB")
    yield Line("room", f"{_room(view)}; {view.disk_free_bytes / 1e6:,.0f} MB of the disk are free")
    quarantined = f"{outbox.dead_letters} records quarantined by the centre{_gone(view.dead_letters_given_up)}"
    refused = f"{view.refused_rows} rows refused{_gone(view.refused_rows_given_up)}"
    yield Line("set aside", f"{quarantined}, {refused}", outbox.dead_letters > 0)
    yield Line("stream", f"{view.stream_id}, next seq {view.next_seq}")
    if outbox.dropped:
        yield Line("dropped", f"{outbox.dropped} records given up because the outbox or its disk was full", True)
    if outbox.damage:
        yield Line("damage", outbox.damage, True)
    if view.last_error:
        yield Line("status", view.last_error, True)
    if view.certificate_error:
        yield Line("certificate", view.certificate_error, True)
    if view.certificate_expires_at:
        now = datetime.now(UTC)
        yield Line("certificate", _validity(view.certificate_expires_at, now), view.certificate_expires_at <= now)
    if view.last is not None:
        yield from _told(view.last)


def _told(last: LocalStatus) -> Iterator[Line]:
    """What only the agent itself knows, as it last told it."""
    yield Line("link", last.link, not last.is_up)
    yield from _budget(last.status)
    yield Line("clock", _clock(last), last.clock_is_off)
    yield from _source(last.status.source, last.rows_per_s)
    for engine in last.engines:
        yield Line("engine", f"{engine.serial}: {_engine(engine)}")
    for trouble in last.troubles:
        often = f" ({trouble.times} times)" if trouble.times > 1 else ""
        yield Line("trouble", f"{trouble.at:%Y-%m-%d %H:%M:%S} UTC {trouble.event}: {trouble.text}{often}")
    yield Line("as of", f"{last.written_at:%Y-%m-%d %H:%M:%S} UTC")


def _source(source: SourceStatus, rows_per_s: float) -> Iterator[Line]:
    last_row = "" if source.last_row_at is None else f", the last at {source.last_row_at:%Y-%m-%d %H:%M:%S} UTC"
    rows = f"{rows_per_s:.1f} rows/s, {source.rows} since the start of the agent{last_row}"
    yield Line("source", f"{source.kind}: {source.state}, {rows}", source.state == "failed")
    if source.samples:
        gone = f", {source.dropped_samples} of all kept no longer" if source.dropped_samples else ""
        yield Line("samples", f"{source.samples} since the start of the agent{gone}")
    if source.last_error:
        yield Line("last error", source.last_error)


def _budget(status: Status) -> Iterator[Line]:
    if (budget := status.budget) is None:
        return
    waits = WAITING[budget.waits] and f"{WAITING[budget.waits]}, a heartbeat every {status.heartbeat_interval_s:g} s"
    spent = f"{budget.spent_bytes / 1e6:.1f} of {budget.day_bytes / 1e6:.1f} MB spent since midnight UTC"
    yield Line("budget", f"{spent}{waits}", budget.waits != "nothing")


def _clock(last: LocalStatus) -> str:
    if last.clock_skew_s is None:
        return "not compared: the centre has not told the time since the agent was started; it does every five minutes"
    told = f"{skew_text(last.clock_skew_s)}, the way of its message included"
    return f"{told}: have it set, timedatectl set-ntp true" if last.clock_is_off else told


def _engine(engine: EngineView) -> str:
    """Cycle, remaining useful life with its interval, and what is wrong with the rows."""
    if engine.rul_cycles is None or engine.cap_cycles is None:
        return engine.reason or "no prediction yet"
    rul = engine.rul_cycles
    text = f"RUL {rul_text(rul.q05, rul.q50, rul.q95, engine.cap_cycles)} cycles at cycle {engine.cycle}"
    flags = "; ".join(f"{channel} {', '.join(flags)}" for channel, flags in sorted(engine.flags.items()))
    return f"{text} ({flags})" if flags else text


def _validity(expires_at: datetime, now: datetime) -> str:
    """For how long a certificate is good.

    >>> _validity(datetime(2026, 3, 8, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))
    'good for 7.0 days, until 2026-03-08 00:00 UTC'
    """
    until = f"{expires_at:%Y-%m-%d %H:%M} UTC"
    if expires_at <= now:
        return f"expired at {until}: enrol anew, with spoolwatch-agent enroll --force"
    return f"good for {(expires_at - now).total_seconds() / 86_400:.1f} days, until {until}"


def _gone(given_up: int) -> str:
    return f" ({given_up} of them kept no longer)" if given_up else ""


def _room(view: View) -> str:
    outbox = view.outbox
    space = f"{outbox.used_bytes / 1e6:.1f} of {outbox.capacity_bytes / 1e6:.1f} MB used"
    if outbox.hours_left is None:
        return f"hours unknown, no record was accepted yet; {space}"
    why = "no records in the last ten minutes" if view.running else "the agent is not running"
    rate = f"{outbox.accepted_per_s:.1f} records/s" + (f", the last known rate ({why})" * view.rate_is_last_known)
    return f"for {outbox.hours_left:,.1f} h without the centre at {rate}; {space}"
