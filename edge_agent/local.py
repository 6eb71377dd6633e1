"""What ``spoolwatch-agent status`` shows: the outbox and the status file, whether or not the agent runs."""

import fcntl
from datetime import datetime
from pathlib import Path
from shutil import disk_usage

import msgspec

from edge_agent.outbox import Outbox
from edge_agent.settings import OutboxSettings
from edge_agent.status import LOCK_FILE, OUTBOX_FILE, LocalStatus, StatusFileError, read_local_status
from shared.errors import SettingsError
from shared.messages import OutboxStatus, Utc


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


def _certificate(file: Path | None) -> tuple[datetime | None, str | None]:
    if file is None:
        return None, None
    from edge_agent.identity import IdentityError, read_expiry

    try:
        return read_expiry(file), None
    except IdentityError as error:
        return None, str(error)


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
