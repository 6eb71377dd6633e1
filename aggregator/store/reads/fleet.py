"""Reads the fleet: one row per engine with its latest state, filtered and ordered."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Row, Select, and_, bindparam, func, or_, select
from sqlmodel import Session

from aggregator.access.roles import Sites
from aggregator.fleet.bands import THRESHOLDS, Band, Thresholds, band_of, limits_of
from aggregator.fleet.due import Life, life_of
from aggregator.fleet.liveness import LastStatus, LinkState, Liveness, Signs, liveness_of
from aggregator.fleet.rul import Rul
from aggregator.fleet.utilisation import Utilisation
from aggregator.store.reads.ranking import LAST_RECORD_AT, NEVER, UNPREDICTED_CYCLES, EngineOrder, SortValue, parts_of
from aggregator.store.reads.whole import read_whole
from aggregator.store.tables import CurrentState, Engine, Gateway, Installation, Model, core
from shared.clock import is_set


class EngineRow(NamedTuple):
    """One engine as lists show it; what it does not have yet is None.

    Attributes:
        gateway: where it is installed now, and there at ``position``.
        cycle: of its latest row.
        refusal: why that row gave no prediction, where it gave none.
        rul: its latest prediction.
        band: its health band, by the thresholds that were asked with.
        utilisation: how many cycles it flies per day.
        flown_cycles: those since that prediction.
        observed_at: when its latest row was, by the gateway's clock; by the centre's where that cannot be right.
        last_record_at: when the centre received its latest row or prediction.
        signs: what was heard from its gateway.
    """

    serial: str
    site: str
    type: str
    status: str
    gateway: str | None
    position: str | None
    cycle: int | None
    refusal: str | None
    rul: Rul | None
    band: Band
    utilisation: Utilisation | None
    flown_cycles: int
    observed_at: datetime | None
    last_record_at: datetime | None
    signs: Signs | None

    def liveness(self, now: datetime) -> Liveness:
        """Whether it is heard from, and why we say so."""
        return liveness_of(self.signs, now)

    def life(self, now: datetime) -> Life:
        """What due dates follow from."""
        return life_of(self.rul, self.utilisation, self.flown_cycles, self.observed_at, self.signs, now)


@dataclass(frozen=True, slots=True)
class EngineFilter:
    """Which engines are wanted; None means any.

    Attributes:
        model: the name of the model of their latest prediction, or name and version, such as ``turbofan 1.0.0``.
        in_fleet: true for all but the retired ones.
        search: what is somewhere in the serial, the site or the name of the gateway; in any case.
        ids: the keys of their rows.
        thresholds: what bands go by.
    """

    serial: str | None = None
    site: str | None = None
    status: str | None = None
    gateway: str | None = None
    band: Band | None = None
    type: str | None = None
    model: str | None = None
    search: str | None = None
    in_fleet: bool | None = None
    ids: tuple[int, ...] | None = None
    thresholds: Thresholds = THRESHOLDS


EVERY_ENGINE = EngineFilter()
BY_SERIAL = EngineOrder()

PORTION = 1000
EVERY_ROW = 2**62

_model = core(Model)
_engine, _gateway, _installation, _current = core(Engine), core(Gateway), core(Installation), core(CurrentState)
_INSTALLED_NOW = and_(_installation.c.engine_id == _engine.c.id, _installation.c.installed_to.is_(None))


def of_engines(*columns: ColumnElement[Any]) -> Select[Any]:
    """A statement for columns of engines, of where they are installed now, and of their current state."""
    return (
        select(*columns)
        .select_from(_engine)
        .outerjoin(_installation, _INSTALLED_NOW)
        .outerjoin(_gateway, _gateway.c.id == _installation.c.gateway_id)
        .outerjoin(_current, _current.c.engine_id == _engine.c.id)
    )


_SITES = select(_engine.c.id, _engine.c.site)
_LIST = of_engines(
    _engine.c.serial,
    _engine.c.site,
    _engine.c.type,
    _engine.c.status,
    _engine.c.cycles_per_day,
    _current.c.cycles_per_day.label("measured_per_day"),
    _gateway.c.name.label("gateway"),
    _installation.c.position,
    _current.c.telemetry_cycle,
    _current.c.telemetry_observed_at,
    _current.c.telemetry_received_at,
    _current.c.clock_unsynced,
    _current.c.prediction_cycle,
    _current.c.refusal,
    _current.c.rul_mean_cycles,
    _current.c.rul_q05_cycles,
    _current.c.rul_q50_cycles,
    _current.c.rul_q95_cycles,
    _current.c.cap_cycles,
    LAST_RECORD_AT.label("last_record_at"),
    _gateway.c.event,
    _gateway.c.received_at,
    _gateway.c.heartbeat_interval_s,
)
_ONE = _LIST.where(_engine.c.serial == bindparam("serial"))


def find_row(session: Session, sites: Sites, serial: str, thresholds: Thresholds = THRESHOLDS) -> EngineRow | None:
    """Read one engine of these sites as lists show it."""
    row = session.connection().execute(_ONE, {"serial": serial}).first()
    return None if row is None or (sites is not None and row.site not in sites) else _to_row(row, thresholds)


def list_engines(
    session: Session,
    sites: Sites,
    wanted: EngineFilter = EVERY_ENGINE,
    order: EngineOrder = BY_SERIAL,
    after: tuple[SortValue, str] | None = None,
    limit: int | None = None,
) -> list[EngineRow]:
    """Read engines, in one statement or, where those without a prediction come last or first, in two.

    Args:
        session: of the store.
        sites: the sites that may be seen.
        wanted: which ones.
        order: by what, with the serial as tie-breaker.
        after: ``place_in`` the order of the row to go on behind.
        limit: how many at most.
    """
    found: list[EngineRow] = []
    for statement in _list_statements(sites, wanted, order, after):
        missing = EVERY_ROW if limit is None else limit - len(found)
        if missing == 0:
            break
        rows = session.connection().execute(statement, {"rows": missing})
        found += [_to_row(row, wanted.thresholds) for row in rows.all()]
    return found


def sites_of(session: Session, sites: Sites) -> dict[int, str]:
    """Where the engines of these sites are, by the key of their row."""
    return dict(read_whole(session, _SITES.where(*conditions_of(sites, EVERY_ENGINE))))


def count_engines(session: Session, sites: Sites, wanted: EngineFilter) -> int:
    """Count the engines that ``list_engines`` would read."""
    return session.connection().scalar(of_engines(func.count()).where(*conditions_of(sites, wanted))) or 0


@lru_cache(maxsize=64)
def _list_statements(
    sites: Sites, wanted: EngineFilter, order: EngineOrder, after: tuple[SortValue, str] | None
) -> list[Select[Any]]:
    """What reads each part of a list; kept, as pages are polled and a statement takes as long to make as to run."""
    every = _LIST.where(*conditions_of(sites, wanted)).limit(bindparam("rows", type_=BigInteger))
    return [every.where(*part.conditions).order_by(*part.order) for part in parts_of(order, after)]


def place_in(order: EngineOrder, row: EngineRow) -> tuple[SortValue, str]:
    """What an order compares of an engine, and its serial."""
    match order.key:
        case "serial":
            return row.serial, row.serial
        case "rul":
            return UNPREDICTED_CYCLES if row.rul is None else row.rul.q50, row.serial
        case "risk":
            return UNPREDICTED_CYCLES if row.rul is None else row.rul.q05, row.serial
        case "last_seen":
            return row.last_record_at or NEVER, row.serial


def list_engines_by_link(
    session: Session,
    sites: Sites,
    state: LinkState,
    now: datetime,
    wanted: EngineFilter,
    order: EngineOrder,
    after: tuple[SortValue, str] | None,
    limit: int,
) -> list[EngineRow]:
    """As ``list_engines`` does, read those whose link is in a state, which no statement can tell."""
    found: list[EngineRow] = []
    while True:
        rows = list_engines(session, sites, wanted, order, after, PORTION)
        found += [row for row in rows if row.liveness(now).state is state]
        if len(found) >= limit or len(rows) < PORTION:
            return found[:limit]
        after = place_in(order, rows[-1])


def signs_of(gateway: Gateway, last_record_at: datetime | None) -> Signs:
    """What liveness is judged by, from the last known status of a gateway."""
    return as_signs(gateway.event, gateway.received_at, gateway.heartbeat_interval_s, last_record_at)


def conditions_of(sites: Sites, wanted: EngineFilter) -> list[ColumnElement[bool]]:
    """By what a statement finds the engines of these sites that are wanted."""
    equal = (
        (_engine.c.serial, wanted.serial),
        (_engine.c.site, wanted.site),
        (_engine.c.type, wanted.type),
        (_engine.c.status, wanted.status),
        (_gateway.c.name, wanted.gateway),
    )
    conditions = [column == value for column, value in equal if value is not None]
    if sites is not None:
        conditions.append(_engine.c.site.in_(sorted(sites)))
    if wanted.in_fleet is not None:
        retired = _engine.c.status == "retired"
        conditions.append(~retired if wanted.in_fleet else retired)
    if wanted.search is not None:
        searched = (_engine.c.serial, _engine.c.site, _gateway.c.name)
        conditions.append(or_(*(column.icontains(wanted.search, autoescape=True) for column in searched)))
    if wanted.ids is not None:
        conditions.append(_engine.c.id.in_(wanted.ids))
    cycles = _current.c[f"rul_{wanted.thresholds.quantile}_cycles"]
    if wanted.band is Band.UNKNOWN:
        conditions.append(cycles.is_(None))
    elif wanted.band is not None:
        lowest, above = limits_of(wanted.band, wanted.thresholds)
        conditions += [cycles >= lowest, cycles < above]
    if wanted.model is not None:
        conditions.append(_current.c.model_id.in_(_models(wanted.model)))
    return conditions


def _models(name: str) -> Select[tuple[int]]:
    """The ids of models of a name, or of a name and version, such as ``turbofan 1.0.0``."""
    name, _, version = name.partition(" ")
    found = select(_model.c.id).where(_model.c.name == name)
    return found.where(_model.c.version == version) if version else found


def _to_row(row: Row[*tuple[Any, ...]], thresholds: Thresholds) -> EngineRow:
    # By place: of thousands of rows it takes longer to find columns by name than to read them.
    serial, site, kind, status, entered, measured, gateway, position, *state = row
    cycle, observed_at, received_at, unsynced, prediction_cycle, refusal, *prediction = state
    mean, q05, q50, q95, cap, last_record_at, event, heard_at, interval_s = prediction
    rul = None if q50 is None else Rul(mean, q05, q50, q95, cap)
    return EngineRow(
        serial=serial,
        site=site,
        type=kind,
        status=status,
        gateway=gateway,
        position=position,
        cycle=cycle,
        refusal=refusal,
        rul=rul,
        band=band_of(rul, thresholds),
        utilisation=utilisation_of(entered, measured),
        flown_cycles=flown_cycles(cycle, prediction_cycle),
        observed_at=credible(observed_at, received_at, clock_unsynced=unsynced),
        last_record_at=last_record_at,
        signs=None if gateway is None else as_signs(event, heard_at, interval_s, last_record_at),
    )


def utilisation_of(entered: float | None, measured: float | None) -> Utilisation | None:
    """The utilisation that counts: what a person entered goes before what was measured."""
    if entered is not None:
        return Utilisation(entered, "entered")
    return None if measured is None else Utilisation(measured, "measured")


def flown_cycles(row_cycle: int | None, prediction_cycle: int | None) -> int:
    """How many cycles were flown since the latest prediction."""
    return max(0, (row_cycle or 0) - (prediction_cycle or 0))


def credible(
    observed_at: datetime | None, received_at: datetime | None, *, clock_unsynced: bool | None
) -> datetime | None:
    """When a row was, by the gateway's clock; by the centre's where that cannot be right."""
    if observed_at is None or received_at is None or clock_unsynced or not is_set(observed_at):
        return received_at
    return min(observed_at, received_at)


def as_signs(
    event: str | None, heard_at: datetime | None, interval_s: float | None, last_record_at: datetime | None
) -> Signs:
    """What liveness is judged by, from what a row has of the last status of a gateway."""
    if event is None or heard_at is None or interval_s is None:
        return Signs(None, last_record_at)
    return Signs(LastStatus(event, heard_at, interval_s), last_record_at)
