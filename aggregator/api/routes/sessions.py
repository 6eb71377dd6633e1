"""Logins of people: begin, renew, end."""

from typing import Annotated

from fastapi import HTTPException, Query, Response
from starlette.concurrency import run_in_threadpool

from aggregator.access.passwords import hash_password
from aggregator.access.tokens import CredentialsError
from aggregator.api.deps import OPEN_TO_ALL, AddressDep, AnybodyDep, CentreDep
from aggregator.api.problems import problems, unauthorized
from aggregator.api.resources import resource
from aggregator.api.schemas.access import Credentials, Me, PasswordChange, Renewal, Session
from aggregator.api.selection import FieldsQuery
from aggregator.store.logins import end_login
from aggregator.store.people import change_own_password

router = resource("access", "/sessions")


@router.post("", summary="Log in", status_code=201, dependencies=[OPEN_TO_ALL], responses=problems(401, 422, 429))
async def log_in(credentials: Credentials, centre: CentreDep, address: AddressDep, response: Response) -> Session:
    """Exchange name and password for tokens.

    Every failure waits longer for the next attempt, and a wrong name is answered like a wrong password.
    """
    try:
        begun = await centre.sign_in.log_in(credentials.name, credentials.password, address, "api")
    except CredentialsError as error:
        raise unauthorized(str(error)) from error
    _keep_from_caches(response)
    return Session.of(begun)


@router.post("/refresh", summary="Renew a login", dependencies=[OPEN_TO_ALL], responses=problems(401, 422, 429))
async def renew(renewal: Renewal, centre: CentreDep, address: AddressDep, response: Response) -> Session:
    """Exchange a refresh token, which is good once, for the next tokens."""
    try:
        renewed = await centre.sign_in.renew(renewal.refresh_token, address)
    except CredentialsError as error:
        centre.authenticator.forget()
        raise unauthorized(str(error)) from error
    _keep_from_caches(response)
    return Session.of(renewed)


@router.get("/current", summary="Who am I?", responses=problems(422))
async def read_current(caller: AnybodyDep, _: Annotated[FieldsQuery[Me], Query()]) -> Me:
    """Whoever asks, with what they may do and where."""
    return Me.of(caller)


@router.delete("/current", summary="Log out", status_code=204, responses=problems())
def log_out(caller: AnybodyDep, centre: CentreDep) -> None:
    """End the login that the token is of; an API key has none, and stays good."""
    end_login(centre.store, caller, centre.now())
    centre.authenticator.forget()


@router.put("/current/password", summary="Change my password", status_code=204, responses=problems(422))
async def change_password(change: PasswordChange, caller: AnybodyDep, centre: CentreDep, address: AddressDep) -> None:
    """Take another password; all logins of whoever asks end with it, this one too."""
    if caller.login is None:
        raise HTTPException(403, "Only who has logged in by a password here can change it.")
    name = caller.name.removeprefix("person ")
    try:
        await centre.sign_in.check(name, change.old, address)
    except CredentialsError as error:
        raise HTTPException(403, "The old password is another one.") from error
    password_hash = await run_in_threadpool(hash_password, change.new)
    await run_in_threadpool(change_own_password, centre.store, caller, name, password_hash, centre.now())
    centre.authenticator.forget()


def _keep_from_caches(response: Response) -> None:
    response.headers["Cache-Control"] = "no-store"
