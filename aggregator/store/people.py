"""People with an account: added, changed, disabled, never removed; each change is in the audit log."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from aggregator.access.roles import EVERYWHERE, PERSON_NAME, Caller, Grant, Role, grants_of, site_of
from aggregator.store.api_keys import revoke_keys_beyond
from aggregator.store.audit import Change, audit
from aggregator.store.database import Store
from aggregator.store.tables import Login, Person
from aggregator.store.versions import check_version
from shared.errors import SpoolwatchError


class PersonError(SpoolwatchError):
    """A change of a person contradicts what there is."""


class NoSuchPersonError(PersonError):
    """There is nobody of this name whom the caller looks after."""


@dataclass(frozen=True, slots=True)
class PersonChange:
    """What is to change of a person; None leaves a thing as it is."""

    password_hash: str | None = None
    grants: tuple[Grant, ...] | None = None
    disabled: bool | None = None


def is_open(store: Store) -> bool:
    """Whether nobody has an account; a disabled person has one."""
    with store.session() as session:
        return session.exec(select(Person.name).limit(1)).first() is None


def find_person(session: Session, name: str) -> Person | None:
    """Read one person."""
    return session.get(Person, name)


def list_people(session: Session) -> Sequence[Person]:
    """Read everybody, by name."""
    return session.exec(select(Person).order_by(Person.name)).all()


def add_person(
    store: Store, name: str, password_hash: str, grants: tuple[Grant, ...], by: Caller, now: datetime
) -> None:
    """Add a person.

    Raises:
        PersonError: the name cannot be one, or there is somebody of this name.
    """
    if not PERSON_NAME.fullmatch(name):
        raise PersonError(f"{name!r} is not a valid name: use 1 to 64 small letters, digits, '_', '.', '@', '+' or '-'")
    person = Person(name=name, password_hash=password_hash, grants=list(grants), added_at=now)
    change = Change("person.add", f"person {name}", site_of(grants), after=_shown(person))
    try:
        with store.session(writes=True) as session:
            session.add(person)
            audit(session, by, now, change)
            session.commit()
    except IntegrityError as error:
        raise PersonError(f"there is a person {name} already; names are never used twice") from error


def change_person(
    store: Store,
    name: str,
    wanted: PersonChange,
    by: Caller,
    now: datetime,
    seen: Collection[str] | None = None,
) -> None:
    """Change a person; a new password and being disabled end their logins.

    Keys that they made and could not make any more are revoked: whoever makes a key has seen it.

    Raises:
        NoSuchPersonError: there is none of this name among those that ``by`` looks after.
        PersonError: nobody would be left to look after all sites.
        ChangedError: they are in no version out of ``seen``.
    """
    with store.session(writes=True) as session:
        # Two admins who disable each other at once must not both find the other one left.
        session.exec(select(Person).order_by(Person.name).with_for_update()).all()
        person = find_person(session, name)
        # Somebody may have given them more since whoever asks was looked at.
        if person is None or not by.administers(grants_of(person.grants)):
            raise NoSuchPersonError(f"there is no person {name} among those that you look after")
        check_version(person, seen)
        could_look_after = _looks_after_all(person)
        _change(session, person, wanted, by, now)
        session.flush()
        if could_look_after and not any(_looks_after_all(each) for each in list_people(session)):
            raise PersonError(f"{name} is the last admin of all sites; give that role to somebody else first")
        held = () if person.disabled_at is not None else grants_of(person.grants)
        revoke_keys_beyond(session, Caller(f"person {name}", held), by, now)
        session.commit()


def change_own_password(store: Store, by: Caller, name: str, password_hash: str, now: datetime) -> None:
    """Give whoever asks another password, whatever they may do; all their logins end."""
    with store.session(writes=True) as session:
        person = session.get_one(Person, name)
        _change(session, person, PersonChange(password_hash), by, now)
        session.commit()


def _change(session: Session, person: Person, wanted: PersonChange, by: Caller, now: datetime) -> None:
    before = _shown(person)
    _apply(person, wanted, now)
    if wanted.password_hash is not None or person.disabled_at is not None:
        _end_logins(session, person, now)
    after = _shown(person) | ({"password": "changed"} if wanted.password_hash is not None else {})
    site = site_of(grants_of(person.grants))
    audit(session, by, now, Change("person.change", f"person {person.name}", site, before, after))


def _apply(person: Person, wanted: PersonChange, now: datetime) -> None:
    if wanted.password_hash is not None:
        person.password_hash = wanted.password_hash
    if wanted.grants is not None:
        person.grants = list(wanted.grants)
    if wanted.disabled is not None:
        person.disabled_at = (person.disabled_at or now) if wanted.disabled else None


def _looks_after_all(person: Person) -> bool:
    return person.disabled_at is None and Grant(Role.ADMIN, EVERYWHERE) in grants_of(person.grants)


def _end_logins(session: Session, person: Person, now: datetime) -> None:
    running = select(Login).where(Login.person == person.name, col(Login.ended_at).is_(None))
    for login in session.exec(running):
        login.ended_at = now


def _shown(person: Person) -> dict[str, Any]:
    """What the audit log says of a person: no password, nor its hash."""
    grants = [f"{role}@{site}" for role, site in person.grants]
    return {"grants": grants, "disabled": person.disabled_at is not None}
