"""Who is known at the centre: engines and gateways; only people register them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypedDict
from uuid import uuid4

import sqlalchemy
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from aggregator.access.roles import THIS_MACHINE, Caller, Role
from aggregator.store.audit import Change, audit, audit_move
from aggregator.store.database import Store
from aggregator.store.desired import mark_stale
from aggregator.store.tables import Engine, EngineStatus, Gateway, GatewayDesired, Installation, Table, core
from aggregator.store.versions import check_version
from shared.errors import SpoolwatchError
from shared.topics import check_level, check_site


class RegistryError(SpoolwatchError):
    """What somebody enters contradicts what is registered."""


class NoSuchEngineError(RegistryError):
    """No engine of this serial is registered, or none at a site where whoever asks is an engineer."""


class NoSuchGatewayError(RegistryError):
    """No gateway of this name is registered, or none at a site where whoever asks is an engineer."""


class NotAtSiteError(RegistryError):
    """Whoever asks is no engineer at a site that something is to move to."""

    def __init__(self, site: str) -> None:
        super().__init__(f"this takes the role {Role.ENGINEER} at site {site}")
        self.site = site


@dataclass(frozen=True, slots=True)
class Registration:
    """An engine of a site, and where it is installed: at a position of a gateway, or nowhere yet (both None).

    ``installation_cycle`` is its age in cycles when it was hung there, None where nobody knows.

    Raises:
        TopicError: a name is not valid.
    """

    serial: str
    site: str
    gateway: str | None = None
    position: str | None = None
    type: str = "turbofan"
    installation_cycle: int | None = None

    def __post_init__(self) -> None:
        check_site(self.site)
        if (self.gateway is None) != (self.position is None):
            raise RegistryError("an engine is installed at a position of a gateway: say both, or neither")
        for name in (self.serial, self.gateway, self.position):
            if name is not None:
                check_level(name)


class EngineChange(TypedDict, total=False):
    """What can be edited of an engine; what is left out stays as it is."""

    type: str
    site: str
    status: EngineStatus
    cycles_per_day: float | None


def register_engine(
    store: Store, wanted: Registration, now: datetime | None = None, *, by: Caller = THIS_MACHINE
) -> bool:
    """Register an engine and, where it is new, its gateway; to register the same once more changes nothing.

    Args:
        store: where.
        wanted: what is to be known; whoever registers it is an engineer at its site.
        now: since when the engine hangs where it says; the present where it is left out.
        by: who registers it.

    Returns:
        Whether the engine was new.

    Raises:
        RegistryError: the engine, the gateway or the position is registered otherwise.
    """
    now = now or datetime.now(UTC)
    try:
        return _register(store, wanted, now, by)
    except IntegrityError:  # somebody else registered at the same moment, which can be seen by now
        return _register(store, wanted, now, by)


def _register(store: Store, wanted: Registration, now: datetime, by: Caller) -> bool:
    with store.session(writes=True) as session:
        gateway_id = None
        if wanted.gateway is not None:
            gateway_id, _ = _ensure_gateway(session, wanted.gateway, wanted.site, now, by)
        engine = session.exec(select(Engine).where(Engine.serial == wanted.serial)).one_or_none()
        if engine is not None:
            _check_same(session, engine, gateway_id, wanted)
            return False
        engine = Engine(serial=wanted.serial, site=wanted.site, type=wanted.type, registered_at=now)
        session.add(engine)
        if gateway_id is not None and wanted.position is not None:
            _check_free(session, gateway_id, wanted)
            session.flush()
            session.add(
                Installation(
                    id=str(uuid4()),
                    engine_id=key_of(engine.id),
                    gateway_id=gateway_id,
                    position=wanted.position,
                    installed_from=now,
                    installation_cycle=wanted.installation_cycle,
                )
            )
            mark_stale(session, gateway_ids=[gateway_id])
        after = shown(engine) | {"gateway": wanted.gateway, "position": wanted.position}
        audit(session, by, now, Change("engine.register", f"engine {wanted.serial}", wanted.site, after=after))
        session.commit()
    return True


def register_gateway(store: Store, name: str, site: str, now: datetime, *, by: Caller = THIS_MACHINE) -> bool:
    """Register a gateway; to register the same once more changes nothing. Returns whether it was new.

    Raises:
        RegistryError: it is registered at another site.
        TopicError: a name is not valid.
    """
    check_site(site)
    check_level(name)
    try:
        return _register_gateway(store, name, site, now, by)
    except IntegrityError:
        return _register_gateway(store, name, site, now, by)


def _register_gateway(store: Store, name: str, site: str, now: datetime, by: Caller) -> bool:
    with store.session(writes=True) as session:
        _, is_new = _ensure_gateway(session, name, site, now, by)
        session.commit()
    return is_new


def edit_engine(
    store: Store,
    serial: str,
    change: EngineChange,
    now: datetime,
    seen: Collection[str] | None = None,
    *,
    by: Caller = THIS_MACHINE,
) -> None:
    """Change what is registered of an engine; one that is retired is removed from where it hangs.

    Raises:
        NoSuchEngineError: it is not registered.
        RegistryError: it is installed at a gateway of another site.
        NotAtSiteError: whoever edits it is no engineer where it is to be.
        ChangedError: it is in no version out of ``seen``.
        TopicError: the site is not valid.
    """
    if "site" in change:
        check_site(change["site"])
    with store.session(writes=True) as session:
        engine = lock_engine(session, serial, by)
        check_version(engine, seen)
        before = shown(engine)
        engine.sqlmodel_update(dict(change))
        if not by.may(Role.ENGINEER, engine.site):
            raise NotAtSiteError(engine.site)
        with session.no_autoflush:
            installed = session.exec(
                select(Installation, Gateway)
                .join(Gateway, col(Gateway.id) == Installation.gateway_id)
                .where(Installation.engine_id == engine.id, col(Installation.installed_to).is_(None))
            ).one_or_none()
        if installed is not None:
            installation, gateway = installed
            if gateway.site != engine.site:
                raise RegistryError(
                    f"engine {serial} is installed at gateway {gateway.name} of site {gateway.site}: "
                    "it moves to another site when it is installed there"
                )
            if engine.status == "retired":
                installation.installed_to = max(now, installation.installed_from)
                mark_stale(session, gateway_ids=[installation.gateway_id])
        edited = Change("engine.edit", f"engine {serial}", engine.site, before, shown(engine))
        audit_move(session, by, now, edited, before["site"])
        session.commit()


def list_registrations(store: Store) -> list[Registration]:
    """Every engine and where it is installed now, by serial."""
    engine, gateway, installation = core(Engine).c, core(Gateway).c, core(Installation).c
    query = (
        sqlalchemy.select(engine.serial, engine.site, gateway.name, installation.position, engine.type)
        .select_from(core(Engine))
        .outerjoin(core(Installation), (installation.engine_id == engine.id) & installation.installed_to.is_(None))
        .outerjoin(core(Gateway), gateway.id == installation.gateway_id)
        .order_by(engine.serial)
    )
    with store.session() as session:
        return [Registration(*row) for row in session.connection().execute(query)]


def shown(row: Table) -> dict[str, Any]:
    """A row as the audit log keeps it."""
    return row.model_dump(mode="json", exclude={"id", "registered_at"})


def lock_engine(session: Session, serial: str, by: Caller, role: Role = Role.ENGINEER) -> Engine:
    """Read an engine that nobody else edits or installs until this transaction ends.

    Raises:
        NoSuchEngineError: it is not registered, or elsewhere than where whoever asks has this role.
    """
    query = select(Engine).where(Engine.serial == serial).with_for_update(key_share=True)
    engine = session.exec(query, execution_options={"populate_existing": True}).one_or_none()
    if engine is None or not by.may(role, engine.site):
        raise NoSuchEngineError(f"engine {serial} is not registered")
    return engine


def lock_gateway(session: Session, name: str, by: Caller) -> Gateway:
    """Read a gateway at which nobody else installs until this transaction ends.

    Raises:
        NoSuchGatewayError: it is not registered, or elsewhere than where whoever asks is an engineer.
    """
    query = select(Gateway).where(Gateway.name == name).with_for_update(key_share=True)
    gateway = session.exec(query).one_or_none()
    if gateway is None or not by.may(Role.ENGINEER, gateway.site):
        raise NoSuchGatewayError(f"gateway {name} is not registered; register it with POST /api/v1/gateways")
    return gateway


def _ensure_gateway(session: Session, name: str, site: str, now: datetime, by: Caller) -> tuple[int, bool]:
    """The key of a gateway of this site, and whether it was not known before."""
    gateway = session.exec(select(Gateway).where(Gateway.name == name)).one_or_none()
    is_new = gateway is None
    if gateway is None:
        gateway = Gateway(name=name, site=site)
        session.add(gateway)
        session.flush()
        session.add(GatewayDesired(gateway_id=key_of(gateway.id)))
        audit(session, by, now, Change("gateway.register", f"gateway {name}", site, after={"site": site}))
    if gateway.site != site:
        where = f"at site {gateway.site}" if by.may(Role.VIEWER, gateway.site) else "elsewhere"
        raise RegistryError(
            f"gateway {name} is registered {where}, not at {site}; a gateway's name is unique over all sites"
        )
    return key_of(gateway.id), is_new


def _check_same(session: Session, engine: Engine, gateway_id: int | None, wanted: Registration) -> None:
    place = session.exec(
        select(Installation.gateway_id, Installation.position).where(
            Installation.engine_id == engine.id, col(Installation.installed_to).is_(None)
        )
    ).one_or_none()
    if (place or (None, None)) != (gateway_id, wanted.position) or engine.site != wanted.site:
        raise RegistryError(f"engine {wanted.serial} is registered already, at another place")
    if engine.type != wanted.type:
        raise RegistryError(f"engine {wanted.serial} is registered already, as a {engine.type}")


def _check_free(session: Session, gateway_id: int, wanted: Registration) -> None:
    taken = session.exec(
        select(Engine.serial)
        .join(Installation, col(Installation.engine_id) == Engine.id)
        .where(
            Installation.gateway_id == gateway_id,
            Installation.position == wanted.position,
            col(Installation.installed_to).is_(None),
        )
    ).first()
    if taken is not None:
        raise RegistryError(f"position {wanted.position} of gateway {wanted.gateway} holds engine {taken}")


def key_of(key: int | None) -> int:
    """The key of a row that was written."""
    if key is None:
        raise RuntimeError("a row that was written has no key")
    return key
