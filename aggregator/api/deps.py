"""What routes need of the program around them, and the one way in which each says who may call it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, cast

from fastapi import Depends, HTTPException, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.dependencies.models import Dependant
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection

from aggregator.access.roles import Caller, Role, Sites
from aggregator.access.tokens import CredentialsError
from aggregator.api.authentication import ANYONE, Authenticator, address_of
from aggregator.api.feed import Feed
from aggregator.api.limits import RateLimit
from aggregator.api.problems import unauthorized
from aggregator.api.recent import RecentAnswers
from aggregator.api.schemas.names import Name
from aggregator.api.sign_in import SignIn
from aggregator.enrolment import Enrolment
from aggregator.fleet.bands import Thresholds
from aggregator.fleet.lives import Lives
from aggregator.gateways import Gateways
from aggregator.ingest.status import IngestStatus
from aggregator.notify.courier import Courier
from aggregator.predicting import Predicting
from aggregator.store.database import Store
from aggregator.store.reads import Session

COOKIE = "spoolwatch_login"
ENROLMENT_RATE = "60/minute"  # by address; a site's gateways may have one in common
READERS_MAX = 10
"""Requests that read the store at once, fewer than the store's connections (15): requests beyond them would take all
threads to wait for a connection, and leave none to give one back."""
SQLITE_READERS_MAX = 2
"""The same of SQLite, which gives the interpreter away at each row: more would only take it from one another."""
_BEARER = HTTPBearer(auto_error=False, description="The access token of a login, or an API key.")


@dataclass(frozen=True, slots=True)
class Centre:
    """The parts of the aggregator that the API shows; ``now`` is the clock, aware UTC, bands go by ``thresholds``."""

    store: Store
    ingest: IngestStatus
    now: Callable[[], datetime]
    authenticator: Authenticator
    sign_in: SignIn
    rate: RateLimit
    thresholds: Thresholds
    summaries: RecentAnswers[bytes]
    lives: RecentAnswers[Lives]
    gateways: Gateways
    predicting: Predicting
    feed: Feed
    enrolment: Enrolment
    courier: Courier
    enrolments: RateLimit = field(default_factory=lambda: RateLimit(ENROLMENT_RATE))
    readers: asyncio.Semaphore = field(init=False)

    def fleet_changed(self) -> None:
        """Note that somebody changed engines or where they hang, so that they see it at once in what is told of all."""
        self.summaries.forget()
        self.lives.forget()

    def __post_init__(self) -> None:
        readers_max = SQLITE_READERS_MAX if self.store.is_sqlite else READERS_MAX
        object.__setattr__(self, "readers", asyncio.Semaphore(readers_max))


# Where nothing waits, these are async: what is not, goes to another thread and back, which takes longest beside ingest.


async def centre_of(connection: HTTPConnection) -> Centre:
    """The parts that ``create_app`` was given."""
    return cast(Centre, connection.app.state.centre)


CentreDep = Annotated[Centre, Depends(centre_of)]


async def _address(connection: HTTPConnection) -> str:
    return address_of(connection)


AddressDep = Annotated[str, Depends(_address)]
"""Where the request comes from."""


class Needs:
    """The dependency by which a route says which role it takes, at any site; None takes everybody who is recognised.

    At which sites, the route sees to itself: it asks the store for no others, and ``may`` of its caller.

    Args:
        role: the role.
        in_person: whether an API key is refused, whatever its role.
    """

    def __init__(self, role: Role | None, *, in_person: bool = False) -> None:
        self.role, self.in_person = role, in_person

    async def __call__(
        self,
        connection: HTTPConnection,
        shown: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
    ) -> Caller:
        """Who asks.

        Raises:
            HTTPException: 401, 403 or 429.
        """
        route = connection.scope["route"].path
        centre = await centre_of(connection)
        try:
            caller = await _recognise(connection, centre, shown)
        except CredentialsError as error:
            await centre.rate.take(address_of(connection), route)
            raise unauthorized(str(error)) from error
        if caller.name != ANYONE:
            await centre.rate.take(caller.name, route)
        self.check(caller)
        return caller

    def check(self, caller: Caller) -> None:
        """Make sure that a caller is one that the route takes.

        Raises:
            HTTPException: 403, they are not.
        """
        if self.role is not None and caller.sites(self.role) == frozenset():
            raise HTTPException(403, f"This takes the role {self.role}, which {caller.name} has at no site.")
        if self.in_person and caller.is_key:
            raise HTTPException(
                403, "People and keys are changed by a person: log in, and send the token of the login."
            )


async def open_to_all() -> None:
    """The dependency by which a route says that it takes everybody."""


async def check_caller(request: Request) -> None:
    """Do what a request's route asks of its caller, where the request fails before the route could.

    Raises:
        HTTPException: 401, 403 or 429.
    """
    dependant = getattr(request.scope.get("route"), "dependant", None)
    for call in () if dependant is None else calls_of(dependant):
        if isinstance(call, Needs):
            await call(request, await _BEARER(request))


def calls_of(dependant: Dependant) -> Iterator[object]:
    """What is called for a route: itself, and every dependency."""
    yield dependant.call
    for child in dependant.dependencies:
        yield from calls_of(child)


async def caller_of(request: Request) -> Caller:
    """Who asks, whatever for.

    Raises:
        CredentialsError: nobody who is known.
        HTTPException: 403, a page of another site, while there are no accounts.
    """
    return await _recognise(request, await centre_of(request), await _BEARER(request))


async def _recognise(connection: HTTPConnection, centre: Centre, shown: HTTPAuthorizationCredentials | None) -> Caller:
    if shown is not None:
        return await centre.authenticator.recognise(shown.credentials, connection)
    # Another site can make a browser send the cookie, but not change anything with it.
    if connection.scope["method"] in ("GET", "HEAD") and COOKIE in connection.cookies:
        return await centre.authenticator.recognise(connection.cookies[COOKIE], connection, "pages")
    return await centre.authenticator.recognise(None, connection)


AnybodyDep = Annotated[Caller, Depends(Needs(None))]
ViewerDep = Annotated[Caller, Depends(Needs(Role.VIEWER))]
TechnicianDep = Annotated[Caller, Depends(Needs(Role.TECHNICIAN))]
EngineerDep = Annotated[Caller, Depends(Needs(Role.ENGINEER))]
AdminDep = Annotated[Caller, Depends(Needs(Role.ADMIN))]
AdminInPersonDep = Annotated[Caller, Depends(Needs(Role.ADMIN, in_person=True))]
OPEN_TO_ALL = Depends(open_to_all)


async def _visible(caller: ViewerDep) -> Sites:
    return caller.sites(Role.VIEWER)


async def _sites_now(
    connection: HTTPConnection,
    centre: CentreDep,
    shown: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
    _: ViewerDep,
) -> Callable[[], Awaitable[Sites]]:
    async def ask() -> Sites:
        return (await _recognise(connection, centre, shown)).sites(Role.VIEWER)

    return ask


SitesNowDep = Annotated[Callable[[], Awaitable[Sites]], Depends(_sites_now)]
"""For an answer that takes long: tells anew which sites whoever asks may see, and raises once they are nobody."""

VisibleSites = Annotated[Sites, Depends(_visible)]
"""The sites that whoever asks may see: a route that takes it needs the role viewer."""


async def reading(centre: CentreDep) -> AsyncIterator[Session]:
    """A session to read the store with, once it is this request's turn."""
    async with centre.readers:
        with centre.store.session() as session:  # nothing is connected yet
            try:
                yield session
            finally:
                if not centre.store.is_sqlite:
                    await run_in_threadpool(session.close)  # which asks the server


async def _now(centre: CentreDep) -> datetime:
    return centre.now()


# Given back before the answer is sent, for which a client may let us wait as long as it likes.
SessionDep = Annotated[Session, Depends(reading, scope="function")]
"""A session to read the store with. It comes behind whoever asks: nobody in particular takes no reader's place."""
NowDep = Annotated[datetime, Depends(_now)]
Serial = Annotated[Name, Path(description="The serial of a registered engine.")]
