"""Raw samples that came of commands: kept part by part in whatever order they come, for a week, within a bound."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import structlog
from sqlalchemy import Connection, Select, case, delete, func, insert, select
from sqlmodel import Session

from aggregator.store.tables import FetchedSamples, GatewayCommand, core
from shared.messages import SampleChunk

KEPT = timedelta(days=7)
KEPT_BYTES = 2**30
"""Of all commands together; gateways have them still, as long as their rings hold them."""

_fetched, _command = core(FetchedSamples), core(GatewayCommand)
log = structlog.get_logger(__name__)
_LINES = msgspec.json.Decoder(list[tuple[datetime, int | None, list[float | None]]])


class Fetched(NamedTuple):
    """How much has come of what was asked for; ``parts`` is of the whole answer, None until the last one is there."""

    samples: int = 0
    parts_here: int = 0
    parts: int | None = None
    is_cut: bool | None = None
    oldest_at: datetime | None = None

    @property
    def is_whole(self) -> bool:
        """Whether no part is missing."""
        return self.parts_here == self.parts


class FetchedSample(NamedTuple):
    """One sample, with a value per channel that came with it."""

    observed_at: datetime
    cycle: int | None
    channels: dict[str, float | None]


def keep_part(connection: Connection, command_id: str, asked: Mapping[str, Any], chunk: SampleChunk) -> Fetched:
    """Keep a part of an answer, unless it is there or nobody asked for it; the command's row is locked meanwhile."""
    here = _read(connection, [command_id]).get(command_id, Fetched())
    is_asked = asked.get("action") == "fetch_samples" and asked["engine"] == chunk.engine
    is_news = chunk.lines if not chunk.is_last else here.parts is None
    is_there = select(_fetched.c.part).where(_fetched.c.command_id == command_id, _fetched.c.part == chunk.part)
    room = asked.get("limit", 0) - here.samples
    if not (is_asked and is_news) or len(chunk.lines) > room or connection.scalar(is_there) is not None:
        return here
    lines = msgspec.json.encode(chunk.lines)
    _make_room(connection, command_id, len(lines))
    row = {
        "command_id": command_id,
        "part": chunk.part,
        "samples": len(chunk.lines),
        "channels": chunk.channels,
        "lines": lines,
        "is_last": chunk.is_last,
        "is_cut": chunk.is_cut,
        "oldest_at": chunk.oldest_at,
    }
    connection.execute(insert(_fetched).values(row))
    return _read(connection, [command_id])[command_id]


def _make_room(connection: Connection, command_id: str, needed_bytes: int) -> None:
    """Give up what came of the commands that were sent first, until there is room; never of this one."""
    kept_bytes = func.sum(func.length(_fetched.c.lines)).label("kept_bytes")
    query = (
        select(_fetched.c.command_id, kept_bytes)
        .join(_command, _command.c.id == _fetched.c.command_id)
        .group_by(_fetched.c.command_id, _command.c.issued_at)
        .order_by(_command.c.issued_at, _fetched.c.command_id)
    )
    kept = {one.command_id: int(one.kept_bytes) for one in connection.execute(query)}
    excess_bytes = sum(kept.values()) + needed_bytes - KEPT_BYTES
    given_up = []
    for other, its_bytes in kept.items():
        if excess_bytes <= 0:
            break
        if other != command_id:
            given_up.append(other)
            excess_bytes -= its_bytes
    if given_up:
        connection.execute(delete(_fetched).where(_fetched.c.command_id.in_(given_up)))
        log.warning("fetched_samples_given_up", commands=given_up, kept_bytes_max=KEPT_BYTES)


def forget_old(connection: Connection, commands: Select[tuple[str]]) -> None:
    """Delete what came of some commands."""
    connection.execute(delete(_fetched).where(_fetched.c.command_id.in_(commands)))


def find_fetched(session: Session, command_ids: Collection[str]) -> dict[str, Fetched]:
    """How much has come of some commands, by their ids; those of which nothing has are left out."""
    return _read(session.connection(), command_ids)


def fetched_channels(session: Session, command_id: str) -> list[str]:
    """Every channel of the samples that came of a command."""
    found = session.connection().scalars(select(_fetched.c.channels).where(_fetched.c.command_id == command_id))
    return sorted({name for channels in found for name in channels})


def next_part(session: Session, command_id: str, after: int) -> tuple[int, list[FetchedSample]] | None:
    """The part behind another one that has come of a command, and its samples; None behind the last."""
    query = (
        select(_fetched.c.part, _fetched.c.channels, _fetched.c.lines)
        .where(_fetched.c.command_id == command_id, _fetched.c.part > after)
        .order_by(_fetched.c.part)
        .limit(1)
    )
    row = session.connection().execute(query).one_or_none()
    return None if row is None else (row.part, list(_samples(row.channels, row.lines)))


def _samples(channels: list[str], lines: bytes) -> Iterator[FetchedSample]:
    for observed_at, cycle, values in _LINES.decode(lines):
        yield FetchedSample(observed_at, cycle, dict(zip(channels, values, strict=True)))


def _read(connection: Connection, command_ids: Collection[str]) -> dict[str, Fetched]:
    of_last = {name: func.max(case((_fetched.c.is_last, _fetched.c[name]))) for name in ("part", "oldest_at")}
    query = (
        select(
            _fetched.c.command_id,
            func.sum(_fetched.c.samples),
            func.count(),
            of_last["part"],
            func.max(case((_fetched.c.is_last, case((_fetched.c.is_cut, 1), else_=0)))),
            of_last["oldest_at"],
        )
        .where(_fetched.c.command_id.in_(list(command_ids)))
        .group_by(_fetched.c.command_id)
    )
    return {
        command_id: Fetched(samples, parts_here, parts, None if is_cut is None else bool(is_cut), oldest_at)
        for command_id, samples, parts_here, parts, is_cut, oldest_at in connection.execute(query)
    }
