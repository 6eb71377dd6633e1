"""Who is known at the centre: engines, gateways and which engine is installed where; only people register them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from aggregator.store.database import Store
from aggregator.store.tables import Engine, Gateway, Installation
from shared.errors import SpoolwatchError
from shared.topics import check_level, check_site


class RegistryError(SpoolwatchError):
    """A registration contradicts one that exists."""


@dataclass(frozen=True, slots=True)
class Registration:
    """An engine, installed at a position of a gateway of a site.

    Raises:
        TopicError: a name is not valid.
    """

    serial: str
    site: str
    gateway: str
    position: str
    type: str = "turbofan"

    def __post_init__(self) -> None:
        check_site(self.site)
        for name in (self.serial, self.gateway, self.position):
            check_level(name)


def register_engine(store: Store, wanted: Registration) -> bool:
    """Register an engine and, where it is new, its gateway; to register the same once more changes nothing.

    Returns:
        Whether the engine was new.

    Raises:
        RegistryError: the engine, the gateway or the position is registered otherwise.
    """
    try:
        return _register(store, wanted)
    except IntegrityError:  # somebody else registered at the same moment, which can be seen by now
        return _register(store, wanted)


def _register(store: Store, wanted: Registration) -> bool:
    now = datetime.now(UTC)
    with store.session(writes=True) as session:
        gateway_id = _ensure_gateway(session, wanted)
        engine = session.exec(select(Engine).where(Engine.serial == wanted.serial)).one_or_none()
        if engine is not None:
            _check_same(session, engine, gateway_id, wanted)
            return False
        _check_free(session, gateway_id, wanted)
        engine = Engine(serial=wanted.serial, site=wanted.site, type=wanted.type, registered_at=now)
        session.add(engine)
        session.flush()
        session.add(
            Installation(
                id=str(uuid4()),
                engine_id=_id(engine.id),
                gateway_id=gateway_id,
                position=wanted.position,
                installed_from=now,
            )
        )
        session.commit()
    return True


def list_registrations(store: Store) -> list[Registration]:
    """Every engine where it is installed now, by serial."""
    query = (
        select(Engine, Gateway, Installation)
        .join(Installation, col(Installation.engine_id) == Engine.id)
        .join(Gateway, col(Gateway.id) == Installation.gateway_id)
        .where(col(Installation.installed_to).is_(None))
        .order_by(Engine.serial)
    )
    with store.session() as session:
        return [
            Registration(engine.serial, gateway.site, gateway.name, installation.position, engine.type)
            for engine, gateway, installation in session.exec(query)
        ]


def _ensure_gateway(session: Session, wanted: Registration) -> int:
    gateway = session.exec(select(Gateway).where(Gateway.name == wanted.gateway)).one_or_none()
    if gateway is None:
        gateway = Gateway(name=wanted.gateway, site=wanted.site)
        session.add(gateway)
        session.flush()
    if gateway.site != wanted.site:
        raise RegistryError(
            f"gateway {wanted.gateway} is registered at site {gateway.site}, not at {wanted.site}; "
            "a gateway's name is unique over all sites"
        )
    return _id(gateway.id)


def _check_same(session: Session, engine: Engine, gateway_id: int, wanted: Registration) -> None:
    place = session.exec(
        select(Installation).where(Installation.engine_id == engine.id, col(Installation.installed_to).is_(None))
    ).one_or_none()
    if place is None or (place.gateway_id, place.position) != (gateway_id, wanted.position):
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


def _id(key: int | None) -> int:
    if key is None:
        raise RuntimeError("a row that was written has no key")
    return key
