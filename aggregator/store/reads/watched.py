"""Reads what alarms by absence are judged by: every gateway and engine, in a statement each."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlmodel import Session

from aggregator.fleet.due import Life, life_of
from aggregator.fleet.liveness import Signs
from aggregator.store.reads.fleet import as_signs, credible, flown_cycles, of_engines, utilisation_of
from aggregator.store.reads.ranking import LAST_RECORD_AT
from aggregator.store.reads.vitals import rul_from, signs_from
from aggregator.store.reads.whole import read_whole
from aggregator.store.tables import CurrentState, Engine, Gateway, Installation, core

_engine, _gateway, _current, _installation = core(Engine), core(Gateway), core(CurrentState), core(Installation)


class WatchedGateway(NamedTuple):
    """A gateway, what was heard of it, and what it last said of its outbox; 0 bytes each where it has said nothing."""

    id: int
    name: str
    site: str
    signs: Signs
    used_bytes: int
    capacity_bytes: int


class WatchedEngine(NamedTuple):
    """An engine that is not retired.

    Attributes:
        is_operational: whether it is in operation and hangs at a gateway.
        predicted_at: when the centre received its latest prediction; where there is none, when it was installed.
        signs: what was heard of its gateway.
    """

    id: int
    site: str
    type: str
    is_operational: bool
    predicted_at: datetime | None
    signs: Signs | None
    life: Life


def list_watched_gateways(session: Session) -> list[WatchedGateway]:
    """Read every gateway."""
    latest = func.max(LAST_RECORD_AT).label("last_record_at")
    by_gateway = select(_current.c.gateway_id, latest).group_by(_current.c.gateway_id).subquery()
    outbox = _gateway.c.report["outbox"]
    query = select(
        *(_gateway.c[name] for name in ("id", "name", "site", "event", "received_at", "heartbeat_interval_s")),
        by_gateway.c.last_record_at,
        *(outbox[name].as_float() for name in ("used_bytes", "capacity_bytes")),
    ).outerjoin(by_gateway, by_gateway.c.gateway_id == _gateway.c.id)
    return [
        WatchedGateway(gateway_id, name, site, as_signs(*signs), int(used or 0), int(capacity or 0))
        for gateway_id, name, site, *signs, used, capacity in session.connection().execute(query)
    ]


_ENGINES = of_engines(
    *(_engine.c[name] for name in ("id", "site", "type", "status", "cycles_per_day")),
    _current.c.cycles_per_day,
    func.coalesce(_current.c.prediction_received_at, _installation.c.installed_from),
    *(_current.c[name] for name in ("telemetry_cycle", "prediction_cycle")),
    *(_current.c[name] for name in ("telemetry_observed_at", "telemetry_received_at", "clock_unsynced")),
    *(_current.c[name] for name in ("rul_mean_cycles", "rul_q05_cycles", "rul_q50_cycles", "rul_q95_cycles")),
    _current.c.cap_cycles,
    *(_gateway.c[name] for name in ("id", "event", "received_at", "heartbeat_interval_s")),
    LAST_RECORD_AT,
).where(_engine.c.status != "retired")


def list_watched_engines(session: Session, now: datetime) -> list[WatchedEngine]:
    """Read every engine that is not retired."""
    found = []
    for row in read_whole(session, _ENGINES):
        engine_id, site, kind, status, entered, measured, predicted_at, *rest = row
        row_cycle, prediction_cycle, observed_at, received_at, unsynced, *rul_and_signs = rest
        rul, signs = rul_from(*rul_and_signs[:5]), signs_from(*rul_and_signs[5:])
        seen_at = credible(observed_at, received_at, clock_unsynced=unsynced)
        utilisation = utilisation_of(entered, measured)
        life = life_of(rul, utilisation, flown_cycles(row_cycle, prediction_cycle), seen_at, signs, now)
        is_operational = status == "operational" and signs is not None
        found.append(WatchedEngine(engine_id, site, kind, is_operational, predicted_at, signs, life))
    return found
