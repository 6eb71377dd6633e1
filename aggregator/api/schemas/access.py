"""People, logins, keys and the audit log as the API shows and takes them."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from aggregator.access.passwords import MAX_LENGTH, MIN_LENGTH
from aggregator.access.roles import PERSON_NAME, Caller, Role, grants_of
from aggregator.access.roles import Grant as AccessGrant
from aggregator.api.schemas.names import Name
from aggregator.api.sign_in import LoggedIn
from aggregator.store import tables

PersonName = Annotated[
    str,
    Field(
        pattern=rf"^{PERSON_NAME.pattern}$",
        description="1 to 64 small letters, digits, `_`, `.`, `@`, `+` or `-`.",
        examples=["anna"],
    ),
]
Password = Annotated[str, Field(min_length=MIN_LENGTH, max_length=MAX_LENGTH, json_schema_extra={"format": "password"})]
GrantSite = Annotated[Name | Literal["*"], Field(description="A site, or `*` for all of them.")]
_STRICT = ConfigDict(extra="forbid")


class Grant(BaseModel):
    """A role at one site or at all; each role may also do what the ones before it may."""

    model_config = _STRICT

    role: Role = Field(description="In this order: viewer, technician, engineer, admin.")
    site: GrantSite

    @property
    def plain(self) -> AccessGrant:
        """As the rules take it."""
        return AccessGrant(self.role, self.site)


Grants = Annotated[list[Grant], Field(max_length=100)]


class Credentials(BaseModel):
    """A person's name and password."""

    model_config = _STRICT

    name: str = Field(max_length=200)
    password: str = Field(max_length=1000, json_schema_extra={"format": "password"})


class Renewal(BaseModel):
    """What renews a login."""

    model_config = _STRICT

    refresh_token: str = Field(max_length=200, description="Of the latest answer; good once.")


class Session(BaseModel):
    """A login: send `access_token` as `Authorization: Bearer …`, and renew it before it is over."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 (its kind)
    expires_in: int = Field(description="For how many seconds the access token is good.")
    refresh_token: str = Field(
        description="Gives the next tokens, once: to use it again ends the login, as it may have been stolen. A login "
        "lasts seven days, however often it is renewed."
    )

    @classmethod
    def of(cls, logged_in: LoggedIn) -> Self:
        """Show a login that has just begun or been renewed."""
        return cls(
            access_token=logged_in.access_token,
            expires_in=logged_in.lifetime_s,
            refresh_token=logged_in.refresh_token,
        )


class PasswordChange(BaseModel):
    """A person's own password, and the one to take its place."""

    model_config = _STRICT

    old: str = Field(max_length=1000, json_schema_extra={"format": "password"})
    new: Password


class Me(BaseModel):
    """Whoever asks, as the centre knows them."""

    name: str = Field(examples=["person anna", "key 1f2e3d4c"])
    grants: list[Grant]

    @classmethod
    def of(cls, caller: Caller) -> Self:
        """Show who asks."""
        return cls(name=caller.name, grants=_grants(caller.grants))


class Person(BaseModel):
    """A person with an account."""

    name: PersonName
    grants: list[Grant]
    disabled: bool = Field(description="Whether logins are refused; people are never removed.")
    added_at: datetime

    @classmethod
    def of(cls, person: tables.Person) -> Self:
        """Show a person of the store."""
        return cls(
            name=person.name,
            grants=_grants(grants_of(person.grants)),
            disabled=person.disabled_at is not None,
            added_at=person.added_at,
        )


class NewPerson(BaseModel):
    """A person to be added."""

    model_config = _STRICT

    name: PersonName
    password: Password
    grants: Grants


class PersonChange(BaseModel):
    """What is to change of a person; what is left out stays."""

    model_config = _STRICT

    password: Password | None = Field(default=None, description="A new one ends their logins.")
    grants: Grants | None = Field(default=None, description="All of them, in the place of those there are.")
    disabled: StrictBool | None = Field(default=None, description="True ends their logins.")


class NewApiKey(BaseModel):
    """A key to be made for a program: one role, at some sites."""

    model_config = _STRICT

    purpose: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$", examples=["planner export"])
    role: Role
    sites: list[GrantSite] = Field(min_length=1, max_length=100)
    expires_in_days: int = Field(strict=True, ge=1, le=366, description="For how many days it is good.")

    @property
    def grants(self) -> tuple[AccessGrant, ...]:
        """What the key may do, where."""
        return tuple(AccessGrant(self.role, site) for site in dict.fromkeys(self.sites))


class ApiKey(BaseModel):
    """A key for a program."""

    id: str = Field(description="How the key begins, behind `swk_`.")
    purpose: str
    grants: list[Grant]
    added_by: str
    added_at: datetime
    expires_at: datetime
    revoked_at: datetime | None

    @classmethod
    def of(cls, key: tables.ApiKey) -> Self:
        """Show a key of the store."""
        return cls(
            id=key.id,
            purpose=key.purpose,
            grants=_grants(grants_of(key.grants)),
            added_by=key.added_by,
            added_at=key.added_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
        )


class MadeApiKey(ApiKey):
    """A key that has just been made."""

    key: str = Field(description="The key itself: it is shown this once and stored nowhere.")


class AuditEntry(BaseModel):
    """One change or failed login."""

    id: int = Field(description="Counts up with each entry.")
    at: datetime
    who: str = Field(examples=["person anna", "key 1f2e3d4c", "nobody", "root on this machine"])
    address: str | None = Field(description="Where it came from; null for commands on the centre's own machine.")
    action: str = Field(examples=["person.add", "engine.register", "login.failed"])
    subject: str = Field(examples=["person anna", "engine FD001-7"])
    site: str | None = Field(description="Where the subject is; null where it is of no one site.")
    before: dict[str, Any] | None = Field(description="What it was; null where there was nothing.")
    after: dict[str, Any] | None

    @classmethod
    def of(cls, entry: tables.AuditEntry) -> Self:
        """Show an entry of the store."""
        return cls.model_validate(entry.model_dump())


def _grants(grants: tuple[AccessGrant, ...]) -> list[Grant]:
    return [Grant(role=grant.role, site=grant.site) for grant in grants]
