"""Who is told of alarms, as people enter it; secrets come sealed, and neither they nor URLs are in the audit log."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from aggregator.access.roles import THIS_MACHINE, Caller, Role, Sites
from aggregator.fleet.notifying import Wishes
from aggregator.store.audit import Change, audit
from aggregator.store.database import Store
from aggregator.store.registry import RegistryError, key_of
from aggregator.store.tables import Notification, Receiver, core
from aggregator.store.versions import check_version

log = structlog.get_logger(__name__)

_notification = core(Notification)


class NoSuchReceiverError(RegistryError):
    """There is no receiver of this id where whoever asks is an admin."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a receiver is reached: ``via`` may be shown, ``sealed`` has its URL and secret."""

    kind: str
    via: str
    sealed: str


@dataclass(frozen=True, slots=True)
class NewReceiver:
    """A receiver that is to be told from now on; ``site`` is empty for all."""

    name: str
    site: str
    address: Address
    wishes: Wishes
    is_enabled: bool = True


@dataclass(frozen=True, slots=True)
class ReceiverChange:
    """What is to be of a receiver; without an address it is reached as before."""

    wishes: Wishes
    is_enabled: bool
    address: Address | None = None


def wishes_of(row: Receiver) -> Wishes | None:
    """What a receiver wants; None where a newer program has written it, which is theirs to follow."""
    try:
        return Wishes.model_validate(row.wishes)
    except ValueError as error:
        log.warning("receiver_not_understood", receiver=row.name, error=str(error))
        return None


def list_receivers(session: Session, sites: Sites) -> Sequence[Receiver]:
    """The receivers of these sites, by name; those of all sites only where ``sites`` is not limited."""
    query = select(Receiver).order_by(Receiver.name)
    if sites is not None:
        query = query.where(col(Receiver.site).in_(sorted(sites)))
    return [row for row in session.exec(query) if wishes_of(row) is not None]


def find_receiver(session: Session, sites: Sites, receiver_id: int, *, lock: bool = False) -> Receiver:
    """One receiver.

    Raises:
        NoSuchReceiverError: there is none of this id that may be seen.
    """
    row = session.get(Receiver, receiver_id, with_for_update=lock or None)
    if row is None or not (sites is None or row.site in sites) or wishes_of(row) is None:
        raise NoSuchReceiverError(f"there is no receiver {receiver_id}")
    return row


def add_receiver(store: Store, wanted: NewReceiver, now: datetime, *, by: Caller = THIS_MACHINE) -> int:
    """Add a receiver; it is told what comes from now on. Returns its id.

    Raises:
        RegistryError: there is one of this name.
    """
    address = wanted.address
    row = Receiver(
        name=wanted.name,
        site=wanted.site,
        kind=address.kind,
        via=address.via,
        sealed=address.sealed,
        is_enabled=wanted.is_enabled,
        wishes=wanted.wishes.model_dump(mode="json"),
    )
    try:
        with store.session(writes=True) as session:
            session.add(row)
            session.flush()
            audit(session, by, now, _change("add", row, after=_shown(row)))
            session.commit()
            return key_of(row.id)
    except IntegrityError as error:
        raise RegistryError(f"there is a receiver {wanted.name} already; edit that one") from error


def change_receiver(
    store: Store,
    receiver_id: int,
    change: ReceiverChange,
    now: datetime,
    seen: Collection[str] | None = None,
    *,
    by: Caller = THIS_MACHINE,
) -> None:
    """Edit a receiver; name, site and kind stay. It is tried again at once, and one that is disabled waits for nothing.

    Args:
        store: where.
        receiver_id: which.
        change: what is to be of it.
        now: when.
        seen: the versions that may be edited; None for any.
        by: who wants it.

    Raises:
        NoSuchReceiverError: there is none of this id that ``by`` looks after.
        ChangedError: it is in no version out of ``seen``.
    """
    with store.session(writes=True) as session:
        row = find_receiver(session, by.sites(Role.ADMIN), receiver_id, lock=True)
        check_version(row, seen)
        before = _shown(row)
        row.sqlmodel_update({"wishes": change.wishes.model_dump(mode="json"), "is_enabled": change.is_enabled})
        row.sqlmodel_update({"failures": 0, "paused_until": None, "problem": None})
        told = {}
        if change.address is not None:
            row.sqlmodel_update({"via": change.address.via, "sealed": change.address.sealed})
            told = {"url": "changed"}
        if not change.is_enabled:
            waiting = update(_notification).where(
                _notification.c.receiver_id == receiver_id, _notification.c.state == "waiting"
            )
            session.connection().execute(
                waiting.values(state="withdrawn", error="the receiver was disabled", ended_at=now)
            )
        audit(session, by, now, _change("edit", row, before, _shown(row) | told))
        session.commit()


def reseal_receiver(
    store: Store,
    receiver_id: int,
    reseal: Callable[[Receiver], str],
    now: datetime,
    seen: Collection[str] | None = None,
    *,
    by: Caller = THIS_MACHINE,
) -> None:
    """Give a receiver another secret; what else is sealed of it stays, and so does all that waits for it.

    Args:
        store: where.
        receiver_id: which.
        reseal: makes what is sealed, from the row that nobody else changes meanwhile.
        now: when.
        seen: the versions that may be edited; None for any.
        by: who wants it.

    Raises:
        NoSuchReceiverError: there is none of this id that ``by`` looks after.
        RegistryError: it is of a kind that has no secret.
        ChangedError: it is in no version out of ``seen``.
    """
    with store.session(writes=True) as session:
        row = find_receiver(session, by.sites(Role.ADMIN), receiver_id, lock=True)
        check_version(row, seen)
        if row.kind != "cloudevents":
            raise RegistryError(f"receiver {row.name} is of kind {row.kind}, which has no secret")
        row.sealed = reseal(row)
        audit(session, by, now, _change("rotate_secret", row, _shown(row), _shown(row) | {"secret": "changed"}))
        session.commit()


def delete_receiver(
    store: Store, receiver_id: int, now: datetime, seen: Collection[str] | None = None, *, by: Caller = THIS_MACHINE
) -> None:
    """Delete a receiver, and with it what it was told and what waits for it.

    Raises:
        NoSuchReceiverError: there is none of this id that ``by`` looks after.
        ChangedError: it is in no version out of ``seen``.
    """
    with store.session(writes=True) as session:
        row = find_receiver(session, by.sites(Role.ADMIN), receiver_id, lock=True)
        check_version(row, seen)
        session.connection().execute(delete(_notification).where(_notification.c.receiver_id == receiver_id))
        audit(session, by, now, _change("delete", row, before=_shown(row)))
        session.delete(row)
        session.commit()


def _shown(row: Receiver) -> dict[str, Any]:
    """What the audit log says of a receiver."""
    return row.model_dump(mode="json", exclude={"id", "sealed"})


def _change(
    action: str, row: Receiver, before: dict[str, Any] | None = None, after: dict[str, Any] | None = None
) -> Change:
    return Change(f"receiver.{action}", f"receiver {row.name}", row.site or None, before, after)
