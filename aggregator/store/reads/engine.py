"""Reads one engine: where it is installed, its latest row and prediction, and its latest rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy
from sqlalchemy import and_
from sqlmodel import Session, col, func, select

from aggregator.access.roles import Sites
from aggregator.fleet.bands import THRESHOLDS, Thresholds
from aggregator.fleet.rul import Rul
from aggregator.store.reads.fleet import EngineRow, find_row
from aggregator.store.reads.history import latest_prediction
from aggregator.store.reads.whole import read_whole
from aggregator.store.tables import CurrentState, Engine, Installation, Model, Overhaul, Prediction, Telemetry, core


class CycleRow(NamedTuple):
    """One row of an engine: value and quality flags per channel."""

    cycle: int
    channels: Mapping[str, float | None]
    flags: Mapping[str, list[str]]


class History(NamedTuple):
    """Under what an engine's records are kept: its key, and the installation of its latest ones, if there are any."""

    engine_id: int
    installation_id: str | None


@dataclass(frozen=True, slots=True)
class EngineDetail:
    """One engine; what it does not have yet is None.

    Attributes:
        row: how lists show it.
        engine: as it was registered.
        installation: where it hangs now.
        overhaul: its last one.
        current: its latest row and how far its state has come.
        prediction: its latest prediction with its model.
    """

    row: EngineRow
    engine: Engine
    installation: Installation | None
    overhaul: Overhaul | None
    current: CurrentState | None
    prediction: tuple[Prediction, Model] | None


_HISTORY = (
    sqlalchemy.select(core(Engine).c.id, core(Engine).c.site, core(CurrentState).c.installation_id)
    .outerjoin(core(CurrentState), core(CurrentState).c.engine_id == core(Engine).c.id)
    .where(core(Engine).c.serial == sqlalchemy.bindparam("serial"))
)


_REGISTERED = (
    select(Engine, Installation, Overhaul, CurrentState)
    .outerjoin(
        Installation, and_(col(Installation.engine_id) == col(Engine.id), col(Installation.installed_to).is_(None))
    )
    .outerjoin(
        Overhaul,
        and_(
            col(Overhaul.engine_id) == col(Engine.id),
            col(Overhaul.epoch)
            == select(func.max(Overhaul.epoch))
            .where(Overhaul.engine_id == Engine.id)
            .correlate(Engine)
            .scalar_subquery(),
        ),
    )
    .outerjoin(CurrentState, col(CurrentState.engine_id) == col(Engine.id))
    .where(col(Engine.serial) == sqlalchemy.bindparam("serial"))
)


def find_engine(
    session: Session, sites: Sites, serial: str, thresholds: Thresholds = THRESHOLDS
) -> EngineDetail | None:
    """Read one engine of these sites in at most three statements; its band goes by the thresholds."""
    row = find_row(session, sites, serial, thresholds)
    if row is None:
        return None
    engine, installation, overhaul, current = session.exec(_REGISTERED, params={"serial": serial}).one()
    prediction = None if current is None else latest_prediction(session, current)
    return EngineDetail(row, engine, installation, overhaul, current, prediction)


def find_engine_id(session: Session, sites: Sites, serial: str) -> int | None:
    """Read the key under which the history of an engine of these sites is kept."""
    found = find_history(session, sites, serial)
    return None if found is None else found.engine_id


def find_history(session: Session, sites: Sites, serial: str) -> History | None:
    """Read under what the history of an engine of these sites is kept."""
    found = session.connection().execute(_HISTORY, {"serial": serial}).first()
    if found is None or (sites is not None and found.site not in sites):
        return None
    return History(found.id, found.installation_id)


def find_current(session: Session, engine_id: int) -> CurrentState | None:
    """Read the current state of an engine; None of one that has recorded nothing yet."""
    return session.get(CurrentState, engine_id)


_telemetry = core(Telemetry)
_LATEST_CHANNELS = (
    sqlalchemy.select(_telemetry.c.channels)
    .where(
        _telemetry.c.engine_id == sqlalchemy.bindparam("engine_id"),
        _telemetry.c.installation_id == sqlalchemy.bindparam("installation_id"),
    )
    .order_by(_telemetry.c.cycle.desc())
    .limit(sqlalchemy.bindparam("rows"))
)


def latest_channels(session: Session, current: CurrentState, limit: int) -> Sequence[Mapping[str, float | None]]:
    """The channels of the last rows of an engine in its latest installation, newest first."""
    where = {"engine_id": current.engine_id, "installation_id": current.installation_id, "rows": limit}
    return [channels for (channels,) in read_whole(session, _LATEST_CHANNELS, where)]


def latest_rows(session: Session, current: CurrentState, limit: int) -> Sequence[CycleRow]:
    """The last rows of an engine in its latest installation, newest first."""
    statement = (
        select(Telemetry.cycle, Telemetry.channels, Telemetry.flags)
        .where(Telemetry.engine_id == current.engine_id, Telemetry.installation_id == current.installation_id)
        .order_by(col(Telemetry.cycle).desc())
        .limit(limit)
    )
    return [CycleRow(*row) for row in session.exec(statement)]


def end_rows(session: Session, current: CurrentState, limit: int, *, newest: bool) -> Sequence[CycleRow]:
    """The first or the last rows of an engine in its latest installation, by cycle."""
    cycle = col(Telemetry.cycle)
    statement = (
        select(Telemetry.cycle, Telemetry.channels, Telemetry.flags)
        .where(Telemetry.engine_id == current.engine_id, Telemetry.installation_id == current.installation_id)
        .order_by(cycle.desc() if newest else cycle)
        .limit(limit)
    )
    rows = [CycleRow(*row) for row in session.exec(statement)]
    return rows[::-1] if newest else rows


def latest_curve(session: Session, current: CurrentState, limit: int) -> Sequence[tuple[int, Rul]]:
    """Cycle and distribution of what was last predicted unasked in an engine's latest installation, newest first."""
    table = core(Prediction).c
    statement = (
        sqlalchemy.select(
            table.cycle,
            table.rul_mean_cycles,
            table.rul_q05_cycles,
            table.rul_q50_cycles,
            table.rul_q95_cycles,
            table.cap_cycles,
        )
        .where(
            table.engine_id == current.engine_id,
            table.installation_id == current.installation_id,
            table.origin == "edge",
        )
        .order_by(table.cycle.desc(), table.id.desc())
        .limit(limit)
    )
    return [(row[0], Rul(*row[1:])) for row in session.connection().execute(statement)]
