"""What ``spoolwatch-agent status`` shows: the outbox and the status file, whether or not the agent runs."""

import fcntl
from datetime import UTC, datetime
from pathlib import Path
from shutil import disk_usage

import msgspec

from edge_agent.centre import skew_text
from edge_agent.outbox import Outbox
from edge_agent.settings import OutboxSettings
from edge_agent.status import LOCK_FILE, OUTBOX_FILE, EngineView, LocalStatus, StatusFileError, read_local_status
from shared.errors import SettingsError
from shared.messages import OutboxStatus, Status, Utc
from shared.wording import rul_text


class View(msgspec.Struct, frozen=True, kw_only=True):
    """One look at an agent's data folder.

    ``last_error`` says why there is no ``last`` though there should be one. ``rate_is_last_known`` where ``outbox``
    tells of the rate at which records came last, for none come now.
    """

    running: bool
    stream_id: str
    next_seq: int
    outbox: OutboxStatus
    refused_rows: int
    dead_letters_given_up: int = 0
    refused_rows_given_up: int = 0
    rate_is_last_known: bool = False
    last: LocalStatus | None
    last_error: str | None = None
    certificate_expires_at: Utc | None = None
    certificate_error: str | None = None
    disk_free_bytes: int = 0


def look(folder: Path, settings: OutboxSettings, cert_file: Path | None = None) -> View:
    """Read the data folder of an agent.

    Args:
        folder: the agent's ``data_dir``.
        settings: how much its outbox may hold.
        cert_file: by which it connects to the broker, if it does.

    Raises:
        SettingsError: no agent has ever run on this folder, or this user may not read it.
        OutboxError: the outbox is damaged; the agent sets it aside when it runs.
    """
    if not (folder / OUTBOX_FILE).exists():
        raise SettingsError(f"data_dir: no agent has run on {folder} yet; start it with: spoolwatch-agent run")
    outbox = Outbox(folder / OUTBOX_FILE, read_only=True, settings=settings)
    running = _running(folder)
    last, last_error = _last_status(folder)
    expires_at, certificate_error = _certificate(cert_file)
    try:
        present = _at_present_rate(outbox.status(), last) if running and last else None
        shown = present or outbox.status_at_last_rate()
        dead_letters_given_up, refused_rows_given_up = outbox.set_aside_given_up()
        return View(
            running=running,
            stream_id=outbox.stream_id,
            next_seq=outbox.next_seq,
            outbox=shown,
            refused_rows=outbox.refused_rows(),
            dead_letters_given_up=dead_letters_given_up,
            refused_rows_given_up=refused_rows_given_up,
            rate_is_last_known=present is None and shown.hours_left is not None,
            last=last,
            last_error=last_error,
            certificate_expires_at=expires_at,
            certificate_error=certificate_error,
            disk_free_bytes=disk_usage(folder).free,
        )
    finally:
        outbox.close()


def render(view: View, *, as_json: bool) -> str:
    """The view as JSON, or as lines for people."""
    if as_json:
        return msgspec.json.encode(view).decode()
    lines = [
        f"agent      {'running' if view.running else 'not running'}",
        f"outbox     {view.outbox.unacked} records wait for the centre, {view.outbox.size_bytes / 1e6:.1f} MB",
        f"room       {_room(view)}; {view.disk_free_bytes / 1e6:,.0f} MB of the disk are free",
        f"set aside  {view.outbox.dead_letters} records quarantined by the centre{_gone(view.dead_letters_given_up)}, "
        f"{view.refused_rows} rows refused{_gone(view.refused_rows_given_up)}",
        f"stream     {view.stream_id}, next seq {view.next_seq}",
    ]
    if view.outbox.dropped:
        lines.append(f"dropped    {view.outbox.dropped} records given up because the outbox or its disk was full")
    if view.outbox.damage:
        lines.append(f"damage     {view.outbox.damage}")
    if view.last_error:
        lines.append(f"status     {view.last_error}")
    if view.certificate_error:
        lines.append(f"certificate {view.certificate_error}")
    if view.certificate_expires_at:
        lines.append(f"certificate {_validity(view.certificate_expires_at, datetime.now(UTC))}")
    if view.last is not None:
        source = view.last.status.source
        lines += [
            f"link       {view.last.link}",
            *_budget(view.last.status),
            f"clock      {_clock(view.last)}",
            f"source     {source.kind}: {source.state}, {view.last.rows_per_s:.1f} rows/s, {source.rows} since the "
            f"start of the agent{_last_row(source.last_row_at)}",
            *_engines(view.last),
            f"as of      {view.last.written_at:%Y-%m-%d %H:%M:%S} UTC",
        ]
        if source.samples:
            gone = f", {source.dropped_samples} of all kept no longer" if source.dropped_samples else ""
            lines.append(f"samples    {source.samples} since the start of the agent{gone}")
        if source.last_error:
            lines.append(f"last error {source.last_error}")
    return "\n".join(lines)


WAITING = {
    "nothing": "",
    "telemetry": "; telemetry waits for the next day",
    "backlog": "; telemetry and what is old wait for the next day",
    "records": "; all records wait for the next day",
}


def _budget(status: Status) -> list[str]:
    if (budget := status.budget) is None:
        return []
    waits = WAITING[budget.waits] and f"{WAITING[budget.waits]}, a heartbeat every {status.heartbeat_interval_s:g} s"
    spent = f"{budget.spent_bytes / 1e6:.1f} of {budget.day_bytes / 1e6:.1f} MB spent since midnight UTC"
    return [f"budget     {spent}{waits}"]


def _clock(last: LocalStatus) -> str:
    if last.clock_skew_s is None:
        return "not compared: the centre has not told the time since the agent was started; it does every five minutes"
    told = f"{skew_text(last.clock_skew_s)}, the way of its message included"
    return f"{told}: have it set, timedatectl set-ntp true" if last.clock_is_off else told


def _last_row(at: datetime | None) -> str:
    return "" if at is None else f", the last at {at:%Y-%m-%d %H:%M:%S} UTC"


def _engines(last: LocalStatus) -> list[str]:
    """A line each: serial, cycle, remaining useful life with its interval, and what is wrong with the rows."""
    return [f"engine     {engine.serial}: {_engine(engine)}" for engine in last.engines]


def _engine(engine: EngineView) -> str:
    if engine.rul_cycles is None or engine.cap_cycles is None:
        return engine.reason or "no prediction yet"
    rul = engine.rul_cycles
    text = f"RUL {rul_text(rul.q05, rul.q50, rul.q95, engine.cap_cycles)} cycles at cycle {engine.cycle}"
    flags = "; ".join(f"{channel} {', '.join(flags)}" for channel, flags in sorted(engine.flags.items()))
    return f"{text} ({flags})" if flags else text


def _certificate(file: Path | None) -> tuple[datetime | None, str | None]:
    if file is None:
        return None, None
    from edge_agent.identity import IdentityError, read_expiry

    try:
        return read_expiry(file), None
    except IdentityError as error:
        return None, str(error)


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


def _last_status(folder: Path) -> tuple[LocalStatus | None, str | None]:
    try:
        return read_local_status(folder), None
    except StatusFileError as error:
        return None, str(error)


def _at_present_rate(outbox: OutboxStatus, last: LocalStatus) -> OutboxStatus | None:
    """The present rate is known to the running agent alone; None where no records come."""
    told = last.status.outbox
    if told.hours_left is None:
        return None
    return msgspec.structs.replace(outbox, accepted_per_s=told.accepted_per_s, hours_left=told.hours_left)


def _room(view: View) -> str:
    outbox = view.outbox
    space = f"{outbox.used_bytes / 1e6:.1f} of {outbox.capacity_bytes / 1e6:.1f} MB used"
    if outbox.hours_left is None:
        return f"hours unknown, no record was accepted yet; {space}"
    why = "no records in the last ten minutes" if view.running else "the agent is not running"
    rate = f"{outbox.accepted_per_s:.1f} records/s" + (f", the last known rate ({why})" * view.rate_is_last_known)
    return f"for {outbox.hours_left:,.1f} h without the centre at {rate}; {space}"


def _running(folder: Path) -> bool:
    try:
        lock = (folder / LOCK_FILE).open()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise SettingsError(f"data_dir {folder}: {error.strerror}; ask as a user that may read it") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        return False
