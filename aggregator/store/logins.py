"""Logins of people: begun, renewed by a token that is good once, ended."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete
from sqlmodel import Session, col, select

from aggregator.access.opaque import digest_of, draw_refresh_token, is_secret, parse_refresh_token
from aggregator.access.roles import Caller, grants_of
from aggregator.store.audit import Change, audit
from aggregator.store.database import Store
from aggregator.store.tables import Login, Person


class RunningLogin(NamedTuple):
    """A login that is not over, and whose it is."""

    login: Login
    person: Person

    def caller(self, address: str | None) -> Caller:
        """Whom it stands for, as they are now."""
        return Caller(f"person {self.person.name}", grants_of(self.person.grants), address, self.login.id)


class Renewed(NamedTuple):
    """A login that was renewed, with the token for the next time."""

    login: str
    refresh_token: str


def find_login(session: Session, login_id: str, now: datetime) -> RunningLogin | None:
    """Read a login with its person, if neither is over."""
    found = session.exec(
        select(Login, Person)
        .join(Person, col(Person.name) == col(Login.person))
        .where(
            Login.id == login_id,
            col(Login.ended_at).is_(None),
            col(Login.expires_at) > now,
            col(Person.disabled_at).is_(None),
        )
    ).first()
    return None if found is None else RunningLogin(*found)


def begin_login(store: Store, person: str, login_id: str, address: str, now: datetime, expires_at: datetime) -> Renewed:
    """Begin a login, and forget those of the same person that have expired."""
    token = draw_refresh_token(login_id)
    caller = Caller(f"person {person}", (), address, login_id)
    with store.session(writes=True) as session:
        expired = delete(Login).where(col(Login.person) == person, col(Login.expires_at) <= now)
        session.connection().execute(expired)
        session.add(
            Login(
                id=login_id,
                person=person,
                refresh_digest=digest_of(token.text),
                began_at=now,
                expires_at=expires_at,
            )
        )
        audit(session, caller, now, Change("login", caller.name))
        session.commit()
    return Renewed(login_id, token.text)


def renew_login(store: Store, refresh_token: str, address: str, now: datetime) -> Renewed | None:
    """Exchange a token for the next one of the same login.

    A token of a login that is not its latest was used before, by its owner or by who stole it: nobody can tell which,
    so the login ends for both.

    Returns:
        None where the token is good for nothing (any more).
    """
    shown = parse_refresh_token(refresh_token)
    if shown is None:
        return None
    with store.session(writes=True) as session:
        session.get(Login, shown.login, with_for_update=True)  # of two that come at once, one is the second
        running = find_login(session, shown.login, now)
        if running is None:
            return None
        if not is_secret(shown.text, running.login.refresh_digest):
            running.login.ended_at = now
            audit(session, running.caller(address), now, Change("login.token_reused", f"person {running.person.name}"))
            session.commit()
            return None
        following = draw_refresh_token(shown.login)
        running.login.refresh_digest = digest_of(following.text)
        session.commit()
    return Renewed(shown.login, following.text)


def end_login(store: Store, by: Caller, now: datetime) -> None:
    """End the login that a caller came with."""
    with store.session(writes=True) as session:
        running = None if by.login is None else find_login(session, by.login, now)
        if running is not None:
            running.login.ended_at = now
            audit(session, by, now, Change("logout", by.name))
            session.commit()


def note_failed_login(store: Store, name: str, address: str, now: datetime) -> None:
    """Put a failed login into the audit log."""
    with store.session(writes=True) as session:
        audit(session, Caller("nobody", (), address), now, Change("login.failed", f"person {name}"))
        session.commit()
