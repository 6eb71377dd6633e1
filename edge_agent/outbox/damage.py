"""Sets a damaged outbox file aside, so that the agent can go on with a fresh one and people can look at the old."""

import shutil
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from edge_agent.outbox.file import OutboxError

KEPT = 3
SUFFIXES = ("", "-wal", "-shm")


def set_aside(path: Path, now: datetime) -> Path:
    """Move an outbox file and its log into a dated folder beside it; returns that folder.

    Only the newest few such folders are kept.

    Raises:
        OutboxError: the file cannot be moved.
    """
    folder = _free(path.with_name(f"{_stem(path)}{now:%Y%m%dT%H%M%SZ}"))
    try:
        older = folders(path)
        folder.mkdir()
        for suffix in SUFFIXES:
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(folder / (path.name + suffix))
    except OSError as error:
        raise OutboxError(
            f"the outbox {path} is damaged and cannot be moved aside ({error.strerror}); move it yourself"
        ) from error
    for outdated in older[: max(0, len(older) + 1 - KEPT)]:
        shutil.rmtree(outdated, ignore_errors=True)
    return folder


def folders(path: Path) -> list[Path]:
    """Where earlier files of this outbox were set aside, oldest first as far as the clock was right."""
    return sorted(path.parent.glob(f"{_stem(path)}*"))


def _stem(path: Path) -> str:
    return f"{path.name}.damaged-"


def _free(folder: Path) -> Path:
    """The folder's name, or one with a number behind it where that is taken."""
    candidates = (folder.with_name(f"{folder.name}-{number}") for number in range(2, 1000))
    return folder if not folder.exists() else next(name for name in candidates if not name.exists())
