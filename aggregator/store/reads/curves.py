"""Reads the last medians of many engines; of those alone that have a new prediction since they were read last."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, select
from sqlmodel import Session

from aggregator.store.tables import CurrentState, Engine, Prediction, core

POINTS = 60
KEPT = 2000

_engine, _current, _prediction = core(Engine), core(CurrentState), core(Prediction)
_HOW_FAR = (
    select(_engine.c.serial, _current.c.engine_id, _current.c.installation_id, _current.c.prediction_seq)
    .join(_current, _current.c.engine_id == _engine.c.id)
    .where(_engine.c.serial.in_(bindparam("serials", expanding=True)))
)
_MEDIANS = (
    select(_prediction.c.rul_q50_cycles)
    .where(
        _prediction.c.engine_id == bindparam("engine_id"),
        _prediction.c.installation_id == bindparam("installation_id"),
        _prediction.c.origin == "edge",
    )
    .order_by(_prediction.c.cycle.desc(), _prediction.c.id.desc())
    .limit(POINTS)
)


class _Curve(NamedTuple):
    installation_id: str
    seq: int | None
    medians: Sequence[float]


class Curves:
    """The last medians by engine, kept for as many engines as are looked at."""

    def __init__(self) -> None:
        self._kept: dict[int, _Curve] = {}

    def read(self, session: Session, serials: Sequence[str]) -> dict[str, Sequence[float]]:
        """The medians of the last ``POINTS`` predictions of each of these engines that has any, the latest last."""
        found: dict[str, Sequence[float]] = {}
        connection = session.connection()
        for serial, engine_id, installation_id, seq in connection.execute(_HOW_FAR, {"serials": serials}).all():
            curve = self._kept.get(engine_id)
            if curve is None or (curve.installation_id, curve.seq) != (installation_id, seq):
                where = {"engine_id": engine_id, "installation_id": installation_id}
                curve = _Curve(installation_id, seq, connection.scalars(_MEDIANS, where).all()[::-1])
                if len(self._kept) >= KEPT:
                    self._kept.clear()
                self._kept[engine_id] = curve
            if curve.medians:
                found[serial] = curve.medians
        return found
