"""Reads what is judged of all engines at once, which is less than lists show: ten thousand take a blink."""

from datetime import datetime
from typing import NamedTuple

from sqlmodel import Session

from aggregator.access.roles import Sites
from aggregator.fleet.due import life_of
from aggregator.fleet.liveness import Signs
from aggregator.fleet.lives import Lives
from aggregator.fleet.rul import Rul
from aggregator.store.reads.fleet import (
    EngineFilter,
    as_signs,
    conditions_of,
    credible,
    flown_cycles,
    of_engines,
    utilisation_of,
)
from aggregator.store.reads.ranking import LAST_RECORD_AT
from aggregator.store.reads.whole import read_whole
from aggregator.store.tables import CurrentState, Engine, Gateway, core

_engine, _gateway, _current = core(Engine).c, core(Gateway).c, core(CurrentState).c
_RUL = (
    _current.rul_mean_cycles,
    _current.rul_q05_cycles,
    _current.rul_q50_cycles,
    _current.rul_q95_cycles,
    _current.cap_cycles,
)
_SIGNS = _gateway.id, _gateway.event, _gateway.received_at, _gateway.heartbeat_interval_s, LAST_RECORD_AT
_VITALS = of_engines(*_RUL, *_SIGNS)
_LIVES = of_engines(
    _engine.id,
    _engine.serial,
    _engine.cycles_per_day,
    _current.cycles_per_day,
    _current.telemetry_cycle,
    _current.prediction_cycle,
    _current.telemetry_observed_at,
    _current.telemetry_received_at,
    _current.clock_unsynced,
    *_RUL,
    *_SIGNS,
)


class Vitals(NamedTuple):
    """What summaries are made of: an engine's latest prediction, and what was heard from its gateway."""

    rul: Rul | None
    signs: Signs | None


def list_vitals(session: Session, sites: Sites, wanted: EngineFilter) -> list[Vitals]:
    """Read what summaries are made of, in one statement."""
    rows = read_whole(session, _VITALS.where(*conditions_of(sites, wanted)))
    return [Vitals(rul_from(*row[:5]), signs_from(*row[5:])) for row in rows]


def read_lives(session: Session, sites: Sites, wanted: EngineFilter, now: datetime) -> Lives:
    """Read what due dates are made of, in one statement."""
    rows = read_whole(session, _LIVES.where(*conditions_of(sites, wanted)))
    return Lives.of(
        (
            engine_id,
            serial,
            life_of(
                rul_from(*rul_and_signs[:5]),
                utilisation_of(entered, measured),
                flown_cycles(row_cycle, prediction_cycle),
                credible(observed_at, received_at, clock_unsynced=unsynced),
                signs_from(*rul_and_signs[5:]),
                now,
            ),
        )
        for (
            engine_id,
            serial,
            entered,
            measured,
            row_cycle,
            prediction_cycle,
            observed_at,
            received_at,
            unsynced,
            *rul_and_signs,
        ) in rows
    )


def rul_from(mean: float | None, q05: float, q50: float, q95: float, cap: float) -> Rul | None:
    """The latest prediction that a row has, if it has one."""
    return None if mean is None else Rul(mean, q05, q50, q95, cap)


def signs_from(
    gateway_id: int | None,
    event: str | None,
    heard_at: datetime | None,
    interval_s: float | None,
    last_record_at: datetime | None,
) -> Signs | None:
    """What was heard from the gateway that a row has, if it has one."""
    return None if gateway_id is None else as_signs(event, heard_at, interval_s, last_record_at)
