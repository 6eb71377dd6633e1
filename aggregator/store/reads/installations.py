"""Reads where engines hang and hung."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlmodel import Session, col, or_, select, tuple_
from sqlmodel.sql.expression import Select

from aggregator.access.roles import Sites
from aggregator.store.tables import Engine, Gateway, Installation


class InstallationRow(NamedTuple):
    """An installation, and of which engine at which gateway."""

    installation: Installation
    serial: str
    gateway: str


@dataclass(frozen=True, slots=True)
class InstallationFilter:
    """Which installations are wanted; None means any.

    Attributes:
        engine: its serial.
        gateway: its name.
        at: those that lasted at this instant.
    """

    engine: str | None = None
    gateway: str | None = None
    at: datetime | None = None


def list_installations(
    session: Session,
    sites: Sites,
    wanted: InstallationFilter,
    after: tuple[datetime, str] | None = None,
    limit: int | None = None,
) -> Sequence[InstallationRow]:
    """Read installations at gateways of these sites, those that began last first.

    ``after`` is the beginning and id to go on behind.
    """
    began, ended = col(Installation.installed_from), col(Installation.installed_to)
    statement = _every(sites).order_by(began.desc(), col(Installation.id).desc()).limit(limit)
    if wanted.engine is not None:
        statement = statement.where(Engine.serial == wanted.engine)
    if wanted.gateway is not None:
        statement = statement.where(Gateway.name == wanted.gateway)
    if wanted.at is not None:
        statement = statement.where(began <= wanted.at, or_(ended.is_(None), ended > wanted.at))
    if after is not None:
        statement = statement.where(tuple_(began, Installation.id) < tuple_(*after))
    return [InstallationRow(*row) for row in session.exec(statement)]


def find_installation(session: Session, sites: Sites, installation_id: str) -> InstallationRow | None:
    """Read one installation; None where there is none of this id at these sites."""
    row = session.exec(_every(sites).where(Installation.id == installation_id)).one_or_none()
    return None if row is None else InstallationRow(*row)


def _every(sites: Sites) -> Select[Installation, str, str]:
    statement = (
        select(Installation, Engine.serial, Gateway.name)
        .join(Engine, col(Engine.id) == Installation.engine_id)
        .join(Gateway, col(Gateway.id) == Installation.gateway_id)
    )
    return statement if sites is None else statement.where(col(Gateway.site).in_(sorted(sites)))
