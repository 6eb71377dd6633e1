"""Reads what was quarantined."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, func, select

from aggregator.access.roles import Sites
from aggregator.store.quarantine_bound import GIVEN_UP
from aggregator.store.tables import Quarantine, StoreFact


@dataclass(frozen=True, slots=True)
class QuarantineFilter:
    """Which messages are wanted; None means any.

    Attributes:
        gateway: as their topics say.
        engine: records that name this serial.
    """

    gateway: str | None = None
    engine: str | None = None


EVERY_MESSAGE = QuarantineFilter()


def list_quarantine(
    session: Session,
    sites: Sites,
    wanted: QuarantineFilter = EVERY_MESSAGE,
    after: int | None = None,
    limit: int | None = None,
    *,
    oldest_first: bool = False,
) -> Sequence[Quarantine]:
    """Read what was quarantined at these sites, newest first or oldest first; ``after`` is the id to go on behind."""
    place = col(Quarantine.id)
    statement = select(Quarantine).order_by(place if oldest_first else place.desc()).limit(limit)
    if sites is not None:
        statement = statement.where(col(Quarantine.site).in_(sorted(sites)))
    if wanted.gateway is not None:
        statement = statement.where(Quarantine.gateway == wanted.gateway)
    if wanted.engine is not None:
        statement = statement.where(Quarantine.engine == wanted.engine)
    if after is not None:
        statement = statement.where(place > after if oldest_first else place < after)
    return session.exec(statement).all()


def find_quarantined(session: Session, sites: Sites, quarantine_id: int) -> Quarantine | None:
    """Read one message of these sites; None where it is not, or no longer, in the quarantine."""
    message = session.get(Quarantine, quarantine_id)
    return message if message is not None and (sites is None or message.site in sites) else None


def count_set_aside(session: Session, since: datetime) -> Counter[str]:
    """How many messages and records of each gateway, by its name, were set aside since then and are still there."""
    query = select(Quarantine.gateway, func.count()).where(Quarantine.received_at >= since)
    return Counter(dict(session.exec(query.group_by(Quarantine.gateway)).all()))


def count_given_up(session: Session) -> int:
    """How many messages and records the quarantine had to give up since the store was made."""
    return int(session.exec(select(StoreFact.value).where(StoreFact.key == GIVEN_UP)).first() or 0)
