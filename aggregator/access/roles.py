"""The rules of who may do what: roles that build on each other, granted for one site or for all."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

EVERYWHERE = "*"
"""The site of a grant that holds at all sites; no site can have this name."""

PERSON_NAME = re.compile(r"[a-z0-9][a-z0-9_.@+-]{0,63}")

Sites = frozenset[str] | None
"""The sites that a question is limited to; None is no limit."""


class Role(StrEnum):
    """What somebody may do; each role may also do all that the ones before it may.

    A viewer reads. A technician acknowledges, records maintenance and runs predictions. An engineer changes engines,
    models and gateways. An admin looks after people and keys, and reads the audit log.
    """

    VIEWER = "viewer"
    TECHNICIAN = "technician"
    ENGINEER = "engineer"
    ADMIN = "admin"

    def includes(self, other: "Role") -> bool:
        """Whether who has this role may do what the other may.

        >>> Role.ENGINEER.includes(Role.VIEWER), Role.VIEWER.includes(Role.ENGINEER)
        (True, False)
        """
        ladder = list(Role)
        return ladder.index(self) >= ladder.index(other)


class Grant(NamedTuple):
    """A role at one site, or ``EVERYWHERE``."""

    role: Role
    site: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who was recognised.

    Attributes:
        name: as the audit log calls them: ``person anna``, ``key 1f2e3d4c``.
        grants: what they may do, where.
        address: where the request came from; None for this machine's own commands.
        login: the id of the login that it came with, if any.
        is_key: whether it is an API key, which looks after nobody: it would outlive itself in keys of its making.
    """

    name: str
    grants: tuple[Grant, ...]
    address: str | None = None
    login: str | None = None
    is_key: bool = False

    def sites(self, role: Role) -> Sites:
        """Where they have at least this role; an empty set is nowhere.

        >>> Caller("person anna", (Grant(Role.ENGINEER, "hamburg"),)).sites(Role.VIEWER)
        frozenset({'hamburg'})
        """
        held = [grant.site for grant in self.grants if grant.role.includes(role)]
        return None if EVERYWHERE in held else frozenset(held)

    def may(self, role: Role, site: str) -> bool:
        """Whether they have at least this role at a site; with ``EVERYWHERE``, at every one."""
        sites = self.sites(role)
        return sites is None or site in sites

    def administers(self, grants: Iterable[Grant]) -> bool:
        """Whether a person or key with these grants is theirs to look after: one that acts at their sites alone."""
        sites = {grant.site for grant in grants} or {EVERYWHERE}
        return all(self.may(Role.ADMIN, site) for site in sites)


def grants_of(stored: Sequence[tuple[str, str]]) -> tuple[Grant, ...]:
    """Grants as the store keeps them, a pair of texts each."""
    return tuple(Grant(Role(role), site) for role, site in stored)


FULL_ACCESS = (Grant(Role.ADMIN, EVERYWHERE),)
THIS_MACHINE = Caller("this machine", FULL_ACCESS)
"""Who acts where nobody had to be recognised: a program beside the store."""


def site_of(grants: Iterable[Grant]) -> str | None:
    """The one site that all grants are for, if it is one.

    >>> site_of([Grant(Role.VIEWER, "hamburg")])
    'hamburg'
    """
    sites = {grant.site for grant in grants}
    return sites.pop() if len(sites) == 1 and EVERYWHERE not in sites else None
