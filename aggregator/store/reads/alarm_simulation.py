"""Tries a condition on what was recorded: what would it have raised?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Select, select
from sqlmodel import Session

from aggregator.access.roles import Sites
from aggregator.fleet.alarms import follow
from aggregator.fleet.conditions import OfRecords, SensorBad
from aggregator.store.judged import JUDGED, judged
from aggregator.store.reads.whole import read_whole
from aggregator.store.tables import Engine, Installation, Prediction, Telemetry, core

_engine, _installation = core(Engine), core(Installation)
_prediction, _telemetry = core(Prediction), core(Telemetry)


@dataclass(frozen=True, slots=True)
class Wanted:
    """On which engines, and what was received since when."""

    since: datetime
    site: str | None = None
    type: str | None = None
    engine: str | None = None


class Raised(NamedTuple):
    """An alarm that would have been raised, and when it would have been cleared, if it would."""

    engine: str
    site: str
    raised_at: datetime
    cycle: int
    reason: str
    cleared_at: datetime | None = None


class Limit(NamedTuple):
    """After how many engines or records to end; each engine is tried on all of its records."""

    engines: int
    records: int = 200_000


class Simulation(NamedTuple):
    """What came of it, of how many engines and records; and the serial to go on behind, if there are more engines."""

    engines: int
    records: int
    raised: list[Raised]
    go_on_behind: str | None


def simulate(
    session: Session, sites: Sites, condition: OfRecords, wanted: Wanted, after: str | None, limit: Limit
) -> Simulation:
    """Try a condition on the engines of these sites, by serial; ``after`` is the serial to go on behind.

    Records are taken in the order of their installations and cycles, as if each had come when it was made.
    """
    query = select(_engine.c.id, _engine.c.serial, _engine.c.site).order_by(_engine.c.serial).limit(limit.engines + 1)
    equal = ((_engine.c.site, wanted.site), (_engine.c.type, wanted.type), (_engine.c.serial, wanted.engine))
    query = query.where(*(column == value for column, value in equal if value is not None))
    if sites is not None:
        query = query.where(_engine.c.site.in_(sorted(sites)))
    if after is not None:
        query = query.where(_engine.c.serial > after)
    found = Simulation(0, 0, [], None)
    last = None
    for engine_id, serial, site in session.connection().execute(query).all():
        if found.engines == limit.engines or found.records >= limit.records:
            return found._replace(go_on_behind=last)
        rows = read_whole(session, _records(condition, engine_id, wanted.since))
        found.raised.extend(_raised(condition, serial, site, rows))
        found = found._replace(engines=found.engines + 1, records=found.records + len(rows))
        last = serial
    return found


def _records(condition: OfRecords, engine_id: int, since: datetime) -> Select[Any]:
    table = _telemetry if isinstance(condition, SensorBad) else _prediction
    query = (
        select(table.c.received_at, table.c.cycle, *JUDGED[type(condition)])
        .join(_installation, _installation.c.id == table.c.installation_id)
        .where(table.c.engine_id == engine_id, table.c.received_at >= since)
        .order_by(_installation.c.installed_from, _installation.c.id, table.c.cycle, table.c.id)
    )
    return query if table is _telemetry else query.where(_prediction.c.origin == "edge")


def _raised(condition: OfRecords, serial: str, site: str, rows: Sequence[Sequence[Any]]) -> Iterator[Raised]:
    seen = judged(condition, [row[2:] for row in rows])
    verdicts = [condition.judge(what) for what in seen]
    last: Raised | None = None
    for place, is_active in follow(verdicts, condition.in_a_row, is_active=False, streak=0).turns:
        at, cycle, *_ = rows[place]
        if is_active:
            last = Raised(serial, site, at, cycle, condition.tell(seen[place]))
        elif last is not None:
            yield last._replace(cleared_at=at)
            last = None
    if last is not None:
        yield last
