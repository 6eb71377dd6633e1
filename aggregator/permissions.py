"""Writes who may call what, from the code: ``python -m aggregator.permissions docs/permissions.md``."""

import sys
from pathlib import Path
from typing import NamedTuple

from fastapi import FastAPI
from fastapi.routing import RouteContext, iter_route_contexts

from aggregator.access.roles import Role
from aggregator.api import docs
from aggregator.api.app import create_app
from aggregator.api.deps import Needs, calls_of, open_to_all
from aggregator.api.problems import PREFIXES
from aggregator.dashboard.frame import DETAILS, PAGES
from aggregator.ingest.status import IngestStatus
from aggregator.store.database import Store

WITHOUT_CONTENT = {docs.ASSETS, *(f"{prefix}{{path:path}}" for prefix in PREFIXES)}
"""What is not ours to guard: the parts of the docs page, and what answers that there is nothing."""

PREAMBLE = """\
# Who may call what

Written from the code by `make contracts`; a test holds the two together, and another tries every line.

Each role may also do what those before it may: viewer, technician, engineer, admin. A role is granted for one site or
for all (`*`). Lists show what is at the sites where one has the role; whatever is elsewhere answers 404, as if it were
not there. Without credentials the answer is 401, without the role 403. "In person" takes no API key, whatever its
role: people and keys are changed by somebody who has logged in. As long as nobody has an account, the centre
serves loopback only, and everybody there may do everything.

| route | takes |
| --- | --- |
"""
PAGES_PREAMBLE = """
## The pages

They show what is at the sites where one has the role, and let do what the routes above let do: whoever is a
technician nowhere is offered nothing to do. A page for another role answers 403, one of a thing elsewhere 404. Files
and websockets take any login.

| page | takes |
| --- | --- |
"""


class Permission(NamedTuple):
    """One route, and the role it takes: ``everybody``, ``anybody`` who is recognised, or a role.

    Where ``in_person`` holds, an API key is refused, whatever its role.
    """

    method: str
    path: str
    takes: str
    in_person: bool = False


def permissions(app: FastAPI) -> list[Permission]:
    """What every route declares.

    Raises:
        ValueError: a route does not say whom it takes.
    """
    found = [
        Permission(method, str(route.path_format), *_declared(route))
        for route in iter_route_contexts(app.routes)
        if route.path not in WITHOUT_CONTENT
        for method in route.methods or ("ANY",)
    ]
    return sorted(found, key=lambda permission: (permission.path, permission.method))


def _declared(route: RouteContext) -> tuple[str, bool]:
    dependant = getattr(route, "dependant", None)
    calls = [] if dependant is None else list(calls_of(dependant))
    needs = [call for call in calls if isinstance(call, Needs)]
    roles = [call.role for call in needs if call.role is not None]
    if roles:
        return max(roles, key=list(Role).index), any(call.in_person for call in needs)
    if needs:
        return "anybody", False
    if open_to_all in calls:
        return "everybody", False
    raise ValueError(f"{route.path} does not say whom it takes; give it a dependency of aggregator.api.deps")


_IN_WORDS = {"everybody": "everybody", "anybody": "anybody with credentials"}


def describe() -> str:
    """The tables as they are kept in docs/."""
    app = create_app(Store("sqlite:///never-opened.db"), IngestStatus())
    lines = [
        f"| `{one.method} {one.path}` | {_IN_WORDS.get(one.takes, one.takes)}{', in person' if one.in_person else ''} |"
        for one in permissions(app)
    ]
    pages = [(path, role) for path, _, role in PAGES if not path.startswith(PREFIXES)]
    pages += DETAILS
    shown = [f"| `{path}` | {role} |" for path, role in pages]
    return PREAMBLE + "\n".join(lines) + "\n" + PAGES_PREAMBLE + "\n".join(shown) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(describe(), encoding="utf-8")
