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
from aggregator.store.desired_tables import Overhaul
from aggregator.store.reads.fleet import EngineFilter, EngineRow, list_engines
from aggregator.store.reads.history import latest_prediction
from aggregator.store.tables import CurrentState, Engine, Installation, Model, Prediction, Telemetry, core


class CycleRow(NamedTuple):
    """One row of an engine: value and quality flags per channel."""

    cycle: int
    channels: Mapping[str, float | None]
    flags: Mapping[str, list[str]]


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


def find_engine(
    session: Session, sites: Sites, serial: str, thresholds: Thresholds = THRESHOLDS
) -> EngineDetail | None:
    """Read one engine of these sites in at most three statements; its band goes by the thresholds."""
    rows = list_engines(session, sites, EngineFilter(serial=serial, thresholds=thresholds))
    if not rows:
        return None
    installed_now = and_(col(Installation.engine_id) == col(Engine.id), col(Installation.installed_to).is_(None))
    last = select(func.max(Overhaul.epoch)).where(Overhaul.engine_id == Engine.id).correlate(Engine).scalar_subquery()
    engine, installation, overhaul, current = session.exec(
        select(Engine, Installation, Overhaul, CurrentState)
        .outerjoin(Installation, installed_now)
        .outerjoin(Overhaul, and_(col(Overhaul.engine_id) == col(Engine.id), col(Overhaul.epoch) == last))
        .outerjoin(CurrentState, col(CurrentState.engine_id) == col(Engine.id))
        .where(col(Engine.serial) == serial)
    ).one()
    prediction = None if current is None else latest_prediction(session, current)
    return EngineDetail(rows[0], engine, installation, overhaul, current, prediction)


def find_engine_id(session: Session, sites: Sites, serial: str) -> int | None:
    """Read the key under which the history of an engine of these sites is kept."""
    statement = select(Engine.id).where(Engine.serial == serial)
    if sites is not None:
        statement = statement.where(col(Engine.site).in_(sorted(sites)))
    return session.exec(statement).first()


def find_current(session: Session, engine_id: int) -> CurrentState | None:
    """Read the current state of an engine; None of one that has recorded nothing yet."""
    return session.get(CurrentState, engine_id)


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
