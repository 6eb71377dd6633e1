"""People and API keys, for those who look after them."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from aggregator.access.roles import EVERYWHERE, Caller, Role, Sites, grants_of
from aggregator.dashboard.frame import Source
from aggregator.dashboard.lists import Action, Column, Empty, Layout, Listing, Numbers, Portion, Shown, card, each
from aggregator.dashboard.view import View
from aggregator.store.api_keys import find_key, list_keys, revoke_key
from aggregator.store.people import PersonChange, change_person, list_people
from aggregator.store.reads import Session
from aggregator.store.tables import ApiKey, Person
from shared.errors import SpoolwatchError

Grants = Sequence[tuple[str, str]]
Granted = TypeVar("Granted", Person, ApiKey)


class PeopleListing(Listing):
    """Everybody with an account whom one looks after."""

    role = Role.ADMIN

    def layout(self, source: Source, visitor: Caller) -> Layout:
        """What this visitor sees of it whatever it has."""
        return Layout(
            title="People",
            heading="People with an account",
            columns=(
                Column("person", "Name", phone="title"),
                Column("state", "State", "badge", phone="corner"),
                Column("grants", "May do"),
                Column("at", "Since", "when", phone="right"),
            ),
            sorts=("name",),
            actions=(Action("disable", "Disable", "d"), Action("enable", "Let in again", "e")),
            empty=Empty(
                "Nobody has an account yet",
                ("So the aggregator listens on this machine alone. The first account is an admin's:",),
                "spoolwatch-aggregator user add NAME --role admin",
            ),
        )

    def numbers(self, session: Session, sites: Sites, now: datetime) -> Numbers:
        """Read what the cards say."""
        people = _theirs(sites, list_people(session))
        disabled = sum(one.disabled_at is not None for one in people)
        cards = [
            card("people", len(people) - disabled, "who can log in"),
            card("disabled", disabled, "kept for the audit log"),
        ]
        return Numbers(cards, not people)

    def portion(self, session: Session, sites: Sites, view: View, now: datetime) -> Portion:
        """Read what the rows say; of people there are not many."""
        people = sorted(_theirs(sites, list_people(session)), key=lambda one: one.name, reverse=view.is_falling)
        return Portion([_person(one) for one in people], total=len(people))

    def act(self, source: Source, visitor: Caller, action: str, keys: Sequence[str], answer: str) -> str:
        """Disable people, or let them in again; all their logins end."""
        wanted = PersonChange(disabled=action == "disable")

        def change(name: str) -> None:
            change_person(source.centre.store, name, wanted, visitor, source.now())

        return _done(source, keys, change)


class KeyListing(Listing):
    """The API keys that one looks after."""

    role = Role.ADMIN

    def layout(self, source: Source, visitor: Caller) -> Layout:
        """What this visitor sees of it whatever it has."""
        return Layout(
            title="API keys",
            heading="Keys for programs",
            columns=(
                Column("purpose", "For", phone="title"),
                Column("state", "State", "badge", phone="corner"),
                Column("grants", "May do"),
                Column("added_by", "Made by", phone="none"),
                Column("at", "Made", "when", phone="none"),
                Column("until", "Ends", "when", phone="right"),
            ),
            sorts=("made",),
            actions=(Action("revoke", "Revoke", "r"),),
            empty=Empty(
                "There is no API key yet",
                ("A person who is an admin makes one with POST /api/v1/api-keys; it is shown once, there.",),
            ),
        )

    def numbers(self, session: Session, sites: Sites, now: datetime) -> Numbers:
        """Read what the cards say."""
        return Numbers(is_empty=not _theirs(sites, list_keys(session)))

    def portion(self, session: Session, sites: Sites, view: View, now: datetime) -> Portion:
        """Read what the rows say; the latest first."""
        keys = sorted(_theirs(sites, list_keys(session)), key=lambda one: one.added_at, reverse=not view.is_falling)
        return Portion([_key(one, now) for one in keys], total=len(keys))

    def act(self, source: Source, visitor: Caller, action: str, keys: Sequence[str], answer: str) -> str:
        """Make keys good for nothing."""
        store = source.centre.store

        def revoke(key_id: str) -> None:
            with store.session() as session:
                key = find_key(session, key_id)
                if key is None or not visitor.administers(grants_of(key.grants)):
                    raise SpoolwatchError(f"there is no key {key_id} among those that you look after")
            revoke_key(store, key_id, visitor, source.now())

        return _done(source, keys, revoke)


def _done(source: Source, keys: Sequence[str], do: Callable[[str], None]) -> str:
    said = each(keys, do)
    source.centre.authenticator.forget()
    return said


def _theirs(sites: Sites, those: Sequence[Granted]) -> list[Granted]:
    """Those that act only at these sites."""
    if sites is None:
        return list(those)
    return [one for one in those if ({site for _, site in one.grants} or {EVERYWHERE}) <= sites]


def _person(one: Person) -> Shown:
    is_disabled = one.disabled_at is not None
    return {
        "key": one.name,
        "name": one.name,
        "person": one.name,
        "state": "disabled" if is_disabled else "active",
        "grants": grants_in_words(one.grants),
        "at": one.added_at.timestamp(),
    }


def _key(one: ApiKey, now: datetime) -> Shown:
    ended = "expired" if one.expires_at <= now else "active"
    return {
        "key": one.id,
        "name": f"key {one.id}",
        "purpose": one.purpose,
        "state": ended if one.revoked_at is None else "revoked",
        "grants": grants_in_words(one.grants),
        "added_by": one.added_by.removeprefix("person "),
        "at": one.added_at.timestamp(),
        "until": one.expires_at.timestamp(),
        "notes": {"purpose": f"swk_{one.id}…"},
    }


def grants_in_words(grants: Grants) -> str:
    """What somebody may do, and where.

    >>> grants_in_words([("viewer", "*"), ("engineer", "hamburg")])
    'viewer everywhere, engineer at hamburg'
    """
    return (
        ", ".join(f"{role} {'everywhere' if site == EVERYWHERE else f'at {site}'}" for role, site in grants)
        or "nothing"
    )
