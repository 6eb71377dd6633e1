"""Where engines hang, over time: at one position at a time, and each position holds one engine at a time."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypedDict
from uuid import uuid4

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, func, or_, select

from aggregator.access.roles import THIS_MACHINE, Caller, Role
from aggregator.store.audit import Change, audit, audit_move
from aggregator.store.database import Store
from aggregator.store.desired import mark_stale
from aggregator.store.registry import RegistryError, key_of, lock_engine, lock_gateway, shown
from aggregator.store.tables import Engine, Gateway, Installation, Telemetry
from aggregator.store.versions import check_version

CLOCK_LEEWAY = timedelta(minutes=5)  # the clock of whoever enters a time may be ahead of the centre's


@dataclass(frozen=True, slots=True)
class NewInstallation:
    """An engine that hangs, or hung, at a position of a gateway from … to.

    Attributes:
        installation_cycle: the engine's age in cycles when it was hung there; None where nobody knows.
        id: the id that it had before the store was restored; None for a new one.
    """

    engine: str
    gateway: str
    position: str
    installed_from: datetime
    installed_to: datetime | None = None
    installation_cycle: int | None = None
    id: str | None = None


class InstallationChange(TypedDict, total=False):
    """What can be corrected of an installation; what is left out stays as it is."""

    position: str
    installed_from: datetime
    installed_to: datetime | None
    installation_cycle: int | None


class NoSuchInstallationError(RegistryError):
    """There is no installation of this id."""


def install(store: Store, wanted: NewInstallation, now: datetime, *, by: Caller = THIS_MACHINE) -> str:
    """Enter where an engine hangs, or hung; it then is of the gateway's site. Returns the installation's id.

    Raises:
        RegistryError: engine or gateway is not registered, or it contradicts an installation that there is.
    """
    try:
        return _install(store, wanted, now, by)
    except IntegrityError:  # somebody else entered another at the same moment, which can be seen by now
        return _install(store, wanted, now, by)


def amend(
    store: Store,
    installation_id: str,
    change: InstallationChange,
    now: datetime,
    seen: Collection[str] | None = None,
    *,
    by: Caller = THIS_MACHINE,
) -> None:
    """Correct an installation, end it, or let it last again: what it took so far stays with it.

    Raises:
        NoSuchInstallationError: there is none of this id where whoever asks is an engineer.
        NoSuchEngineError: its engine has moved to where whoever asks is no engineer.
        RegistryError: it would contradict another one, or last while its engine is retired.
        ChangedError: it is in no version out of ``seen``.
    """
    with store.session(writes=True) as session:
        one = session.get(Installation, installation_id)
        gateway = None if one is None else session.get_one(Gateway, one.gateway_id)
        if one is None or gateway is None or not by.may(Role.ENGINEER, gateway.site):
            raise NoSuchInstallationError(f"there is no installation {installation_id}")
        engine = lock_engine(session, session.get_one(Engine, one.engine_id).serial, by)
        amend_within(session, one, engine, change, now, seen, by=by)
        session.commit()


def amend_within(
    session: Session,
    one: Installation,
    engine: Engine,
    change: InstallationChange,
    now: datetime,
    seen: Collection[str] | None = None,
    *,
    by: Caller,
) -> None:
    """Correct an installation of an engine that is locked, in the transaction of what it is part of.

    Raises:
        NoSuchGatewayError: whoever asks is no engineer where it was.
        RegistryError: it would contradict another one, or last while its engine is retired.
        ChangedError: it is in no version out of ``seen``.
    """
    gateway = lock_gateway(session, session.get_one(Gateway, one.gateway_id).name, by)
    session.refresh(one)
    check_version(one, seen)
    before, old_site = shown(one), engine.site
    one.sqlmodel_update(dict(change))
    _hang(session, one, engine, gateway, now, by)
    mark_stale(session, [one.engine_id], [one.gateway_id])
    subject = f"engine {engine.serial} at gateway {gateway.name}"
    amended = Change("installation.amend", subject, gateway.site, before, shown(one))
    audit_move(session, by, now, amended, old_site)


def remove(store: Store, serial: str, at: datetime, now: datetime, *, by: Caller = THIS_MACHINE) -> None:
    """End the installation of an engine that lasts.

    Raises:
        RegistryError: the engine is not registered, hangs nowhere, or was hung there later.
    """
    with store.session() as session:
        still = col(Installation.installed_to).is_(None)
        query = select(Installation.id).join(Engine, col(Engine.id) == Installation.engine_id)
        found = session.exec(query.where(Engine.serial == serial, still)).one_or_none()
    if found is None:
        raise RegistryError(f"engine {serial} is installed nowhere")
    amend(store, found, {"installed_to": at}, now, by=by)


def end(session: Session, one: Installation, engine: Engine, at: datetime, now: datetime, *, by: Caller) -> None:
    """End an installation that lasts, of an engine that is locked, in the transaction of what it is part of.

    Raises:
        RegistryError: it was hung there later, or that is ahead.
    """
    before = shown(one)
    one.installed_to = at
    _check_times(one, now)
    mark_stale(session, [one.engine_id], [one.gateway_id])
    gateway = session.get_one(Gateway, one.gateway_id)
    subject = f"engine {engine.serial} at gateway {gateway.name}"
    audit(session, by, now, Change("installation.amend", subject, gateway.site, before, shown(one)))


def installation_at(session: Session, engine_id: int, at: datetime) -> Installation | None:
    """The installation of an engine that lasted at a time."""
    ended = col(Installation.installed_to)
    query = select(Installation).where(
        Installation.engine_id == engine_id, Installation.installed_from <= at, or_(ended.is_(None), ended > at)
    )
    return session.exec(query).one_or_none()


def last_cycle_at(session: Session, one: Installation, at: datetime) -> int:
    """The cycle of the last row of an installation that was observed by a time; 0 without any."""
    query = select(func.max(Telemetry.cycle)).where(
        Telemetry.engine_id == one.engine_id, Telemetry.installation_id == one.id, Telemetry.observed_at <= at
    )
    return session.exec(query).one() or 0


def _install(store: Store, wanted: NewInstallation, now: datetime, by: Caller) -> str:
    with store.session(writes=True) as session:
        engine = lock_engine(session, wanted.engine, by)
        gateway = lock_gateway(session, wanted.gateway, by)
        if wanted.id is not None and session.get(Installation, wanted.id) is not None:
            raise RegistryError(f"there is an installation {wanted.id} already; leave the id out to enter another one")
        one = Installation(
            id=wanted.id or str(uuid4()),
            engine_id=key_of(engine.id),
            gateway_id=key_of(gateway.id),
            position=wanted.position,
            installed_from=wanted.installed_from,
            installed_to=wanted.installed_to,
            installation_cycle=wanted.installation_cycle,
        )
        old_site = engine.site
        _hang(session, one, engine, gateway, now, by)
        session.add(one)
        mark_stale(session, [one.engine_id], [one.gateway_id])
        subject = f"engine {engine.serial} at gateway {gateway.name}"
        audit_move(session, by, now, Change("engine.install", subject, gateway.site, after=shown(one)), old_site)
        session.commit()
        return one.id


def _hang(session: Session, one: Installation, engine: Engine, gateway: Gateway, now: datetime, by: Caller) -> None:
    """Refuse an installation that cannot be; while it lasts, the engine is of its gateway's site. Both are locked."""
    if one.installed_to is None and engine.status == "retired":
        raise RegistryError(f"engine {engine.serial} is retired; change its status before it is installed")
    _check_times(one, now)
    _check_free(session, one, engine, gateway, by)
    if one.installed_to is None:
        engine.site = gateway.site


def _check_times(one: Installation, now: datetime) -> None:
    if one.installed_from > now + CLOCK_LEEWAY or (one.installed_to or now) > now + CLOCK_LEEWAY:
        raise RegistryError("an installation is entered when it has begun, and ended when it has ended: not ahead")
    if one.installed_to is not None and one.installed_to < one.installed_from:
        raise RegistryError(f"an installation from {one.installed_from} cannot end before, at {one.installed_to}")


def _check_free(session: Session, one: Installation, engine: Engine, gateway: Gateway, by: Caller) -> None:
    """Refuse an installation that overlaps with one of its engine or of its position; both are locked by now."""
    here = (col(Installation.gateway_id) == one.gateway_id) & (col(Installation.position) == one.position)
    query = (
        select(Installation, Engine, Gateway)
        .join(Engine, col(Engine.id) == Installation.engine_id)
        .join(Gateway, col(Gateway.id) == Installation.gateway_id)
        .where(
            Installation.id != one.id,
            or_(here, col(Installation.engine_id) == one.engine_id),
            or_(col(Installation.installed_to).is_(None), col(Installation.installed_to) > one.installed_from),
        )
    )
    if one.installed_to is not None:
        query = query.where(Installation.installed_from < one.installed_to)
    with session.no_autoflush:
        found = session.exec(query).first()
    if found is None:
        return
    other, holder, place = found
    until = "until now" if other.installed_to is None else f"until {other.installed_to:%Y-%m-%dT%H:%M:%SZ}"
    if holder.id == engine.id:
        where = (
            f"at position {other.position} of gateway {place.name}" if by.may(Role.VIEWER, place.site) else "elsewhere"
        )
        raise RegistryError(f"engine {engine.serial} is installed {where} {until}")
    who = f"engine {holder.serial}" if by.may(Role.VIEWER, holder.site) else "another engine"
    raise RegistryError(f"position {one.position} of gateway {gateway.name} holds {who} {until}")
