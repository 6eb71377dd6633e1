"""Keeps predictions that somebody asked for and the centre made; they have no stream and no seq (0)."""

from datetime import datetime

from sqlalchemy import Connection, insert, select
from sqlmodel import Session, col
from sqlmodel import select as read
from sqlmodel.sql.expression import Select

from aggregator.access.roles import THIS_MACHINE, Caller, Sites
from aggregator.store import tables
from aggregator.store.audit import Change, audit
from aggregator.store.commit import against_races
from aggregator.store.database import Store
from aggregator.store.placements import ensure_models
from aggregator.store.tables import Engine, Model, core
from aggregator.store.taken_cycles import Line, take_cycle
from shared.messages import Prediction

_prediction, _engine = core(tables.Prediction), core(Engine)


Kept = tuple[tables.Prediction, Model]


def keep(store: Store, made: Prediction, now: datetime, *, by: Caller = THIS_MACHINE) -> Kept:
    """Store a prediction of an engine that is registered, and who asked for it. Returns its row, and its model's."""
    kept = against_races(store, lambda connection, _: _keep(connection, made, now, by))
    with store.session() as session:
        return session.exec(_with_models().where(tables.Prediction.id == kept)).one()


def find_prediction(session: Session, sites: Sites, serial: str, id: int) -> Kept | None:
    """Read one prediction of an engine of these sites."""
    query = _with_models().join(Engine, col(Engine.id) == col(tables.Prediction.engine_id))
    query = query.where(tables.Prediction.id == id, Engine.serial == serial)
    if sites is not None:
        query = query.where(col(Engine.site).in_(sorted(sites)))
    return session.exec(query).first()


def _with_models() -> Select[tables.Prediction, Model]:
    return read(tables.Prediction, Model).join(Model, col(Model.id) == col(tables.Prediction.model_id))


def _keep(connection: Connection, made: Prediction, now: datetime, by: Caller) -> int:
    found = connection.execute(select(_engine.c.id, _engine.c.site).where(_engine.c.serial == made.engine)).one()
    rul, window = made.rul_cycles, made.window
    row = {
        "stream": 0,
        "seq": 0,
        "received_at": now,
        "engine_id": found.id,
        "installation_id": made.installation_id,
        "cycle": made.cycle,
        "observed_at": made.observed_at,
        "predicted_at": made.predicted_at,
        "flags": made.flags,
        "rul_mean_cycles": rul.mean,
        "rul_q05_cycles": rul.q05,
        "rul_q50_cycles": rul.q50,
        "rul_q95_cycles": rul.q95,
        "cap_cycles": made.cap_cycles,
        "model_id": ensure_models(connection, {made.model})[made.model],
        "runtime": made.runtime,
        "window_first_cycle": window.first_cycle,
        "window_last_cycle": window.last_cycle,
        "window_rows": window.rows,
        "input": made.input,
        "origin": made.origin,
        "request_id": made.request_id,
    }
    line = Line(found.id, row["installation_id"], row["model_id"], made.origin, made.request_id or "")
    take_cycle(connection, line, made.cycle)
    kept: int = connection.execute(insert(_prediction).values(row).returning(_prediction.c.id)).scalar_one()
    with Session(connection) as session:
        after = {"origin": made.origin, "request_id": made.request_id, "cycle": made.cycle}
        audit(session, by, now, Change("engine.predict", f"engine {made.engine}", found.site, after=after))
        session.flush()
    return kept
