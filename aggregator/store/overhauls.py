"""Overhauls: after one an engine is as new, and its age and baseline begin again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from aggregator.access.roles import THIS_MACHINE, Caller, Role, Sites
from aggregator.store.audit import Change, audit
from aggregator.store.database import Store
from aggregator.store.desired import mark_stale
from aggregator.store.installations import CLOCK_LEEWAY, installation_at, last_cycle_at
from aggregator.store.registry import RegistryError, key_of, lock_engine, shown
from aggregator.store.tables import Engine, Installation, Overhaul, WorkOrder
from aggregator.store.tables.work import OVERHAUL


class NoSuchOverhaulError(RegistryError):
    """An engine has no overhaul of that number."""


@dataclass(frozen=True, slots=True)
class NewOverhaul:
    """An overhaul that somebody enters.

    Attributes:
        engine: the serial.
        at: when it was done.
        after_cycle: after which of the source's cycles, where the engine hung somewhere; None goes by the rows.
    """

    engine: str
    at: datetime
    after_cycle: int | None = None


def overhaul(store: Store, wanted: NewOverhaul, now: datetime, *, by: Caller = THIS_MACHINE) -> int:
    """Enter an overhaul; returns the engine's maintenance epoch from then on.

    Raises:
        NoSuchEngineError: the engine is not registered, or elsewhere than where whoever asks is a technician.
        RegistryError: it is ahead, or not after the last one.
    """
    with store.session(writes=True) as session:
        engine = lock_engine(session, wanted.engine, by, Role.TECHNICIAN)
        epoch = enter_overhaul(session, engine, wanted, now, by=by).epoch
        session.commit()
        return epoch


def enter_overhaul(session: Session, engine: Engine, wanted: NewOverhaul, now: datetime, *, by: Caller) -> Overhaul:
    """Enter an overhaul of an engine that is locked, in the transaction of what it is part of.

    Raises:
        RegistryError: it is ahead, or not after the last one.
    """
    if wanted.at > now + CLOCK_LEEWAY:
        raise RegistryError("an overhaul is entered when it was done: not ahead")
    last = _last(session, key_of(engine.id))
    if last is not None and wanted.at <= last.at:
        raise RegistryError(f"engine {engine.serial} was overhauled at {last.at:%Y-%m-%dT%H:%M:%SZ}, later than that")
    where = installation_at(session, key_of(engine.id), wanted.at)
    if where is None and wanted.after_cycle is not None:
        raise RegistryError(f"engine {engine.serial} hung nowhere then: its source counted no cycles")
    one = Overhaul(
        engine_id=key_of(engine.id),
        epoch=1 if last is None else last.epoch + 1,
        at=wanted.at,
        installation_id=None if where is None else where.id,
        after_cycle=None if where is None else _after_cycle(session, where, wanted),
    )
    session.add(one)
    mark_stale(session, engine_ids=[key_of(engine.id)])
    audit(session, by, now, Change("engine.overhaul", f"engine {engine.serial}", engine.site, after=shown(one)))
    return one


def take_back_overhaul(session: Session, engine: Engine, at: datetime, now: datetime, *, by: Caller) -> None:
    """Take back an overhaul that was entered by mistake, of an engine that is locked; written at once.

    Raises:
        RegistryError: it is not the last one of the engine.
    """
    one = _last(session, key_of(engine.id))
    if one is None or one.at != at:
        raise RegistryError(
            f"the overhaul of engine {engine.serial} at {at:%Y-%m-%dT%H:%M:%SZ} is not its last one, "
            "by which later ones are counted: it stays"
        )
    audit(session, by, now, Change("engine.overhaul_undone", f"engine {engine.serial}", engine.site, before=shown(one)))
    session.delete(one)
    session.flush()
    mark_stale(session, engine_ids=[key_of(engine.id)])


def undo_overhaul(store: Store, serial: str, epoch: int, now: datetime, *, by: Caller = THIS_MACHINE) -> None:
    """Take back an overhaul that somebody entered by mistake, by the number that it has among those of the engine.

    Raises:
        NoSuchEngineError: the engine is not registered, or elsewhere than where whoever asks is a technician.
        NoSuchOverhaulError: the engine has none of this number.
        RegistryError: it is not the last one, or the outcome of a work order.
    """
    with store.session(writes=True) as session:
        engine = lock_engine(session, serial, by, Role.TECHNICIAN)
        one = session.exec(
            select(Overhaul).where(Overhaul.engine_id == engine.id, Overhaul.epoch == epoch)
        ).one_or_none()
        if one is None:
            raise NoSuchOverhaulError(f"engine {serial} has no overhaul {epoch}")
        by_order = select(WorkOrder.id).where(
            WorkOrder.engine_id == engine.id, WorkOrder.has_set == OVERHAUL, WorkOrder.ended_at == one.at
        )
        order_id = session.exec(by_order).first()
        if order_id is not None:
            raise RegistryError(f"that overhaul is the outcome of work order {order_id}: correct the outcome")
        take_back_overhaul(session, engine, one.at, now, by=by)
        session.commit()


def list_overhauls(session: Session, sites: Sites, serial: str) -> Sequence[Overhaul]:
    """Every overhaul of an engine of these sites, the last one first."""
    query = select(Overhaul).join(Engine, col(Engine.id) == Overhaul.engine_id).where(Engine.serial == serial)
    if sites is not None:
        query = query.where(col(Engine.site).in_(sorted(sites)))
    return session.exec(query.order_by(col(Overhaul.epoch).desc())).all()


def _last(session: Session, engine_id: int) -> Overhaul | None:
    query = select(Overhaul).where(Overhaul.engine_id == engine_id).order_by(col(Overhaul.epoch).desc())
    return session.exec(query.limit(1)).first()


def _after_cycle(session: Session, where: Installation, wanted: NewOverhaul) -> int:
    """The last cycle before it: as entered, or that of the last row observed by then."""
    return last_cycle_at(session, where, wanted.at) if wanted.after_cycle is None else wanted.after_cycle
