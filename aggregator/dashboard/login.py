"""The door of the pages: a login form in plain HTML, and the middleware that lets nobody past it without a login."""

from html import escape
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, urlsplit

import structlog
from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from aggregator.access.roles import Caller
from aggregator.access.tokens import CredentialsError
from aggregator.api.deps import COOKIE, OPEN_TO_ALL, AddressDep, Centre, CentreDep
from aggregator.api.problems import problem_response, unauthorized
from aggregator.store.logins import end_login
from aggregator.store.reads import DatabaseError

STYLE = (Path(__file__).parent / "static" / "style.css").read_text(encoding="utf-8")
FORM = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in · Spoolwatch</title><style>{style}</style></head>
<body><main class="sw-page"><form class="sw-panel sw-login" method="post" action="/login">
<h1>Spoolwatch</h1>{trouble}
<label>Name <input name="name" value="{name}" autocomplete="username" autocapitalize="none" required autofocus></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<input type="hidden" name="to" value="{to}">
<button>Log in</button>
</form></main></body></html>
"""
NO_STORE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5"><title>Spoolwatch</title>
<style>{style}</style></head><body><main class="sw-page"><section class="sw-panel">
<h1>The store cannot be read at the moment</h1>
<p>This page tries again every five seconds; the aggregator's log says why.</p></section></main></body></html>
"""

log = structlog.get_logger(__name__)

router = APIRouter(include_in_schema=False, dependencies=[OPEN_TO_ALL])


class Door:
    """Middleware around the pages, their files and their websockets: they take a login, as long as there are accounts.

    Args:
        app: the pages.
        centre: recognises who comes.
    """

    def __init__(self, app: ASGIApp, centre: Centre) -> None:
        self._app, self._centre = app, centre

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or show where to log in."""
        if scope["type"] in ("http", "websocket"):
            connection = HTTPConnection(scope)
            try:
                await visitor_of(connection, self._centre)
            except CredentialsError as error:
                await _turn_away(scope, connection, str(error))(scope, receive, send)
                return
            except HTTPException as error:
                await _refuse(scope, error)(scope, receive, send)
                return
            except DatabaseError as error:
                log.warning("page_read_failed", error=str(error))
                await _come_back(scope)(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def visitor_of(connection: HTTPConnection, centre: Centre) -> Caller:
    """Who has opened a page.

    Raises:
        CredentialsError: nobody who has logged in, or their login is over.
        HTTPException: 403, a page of another site, while there are no accounts.
    """
    return await centre.authenticator.recognise(connection.cookies.get(COOKIE), connection, "pages")


def _turn_away(scope: Scope, connection: HTTPConnection, reason: str) -> ASGIApp:
    if scope["type"] == "websocket":
        return WebSocketClose(1008, reason)
    request = Request(scope)
    if request.method == "GET" and "text/html" in connection.headers.get("accept", ""):
        return RedirectResponse(f"/login?to={quote(request.url.path)}", 303)
    return problem_response(request, 401, reason, headers={"WWW-Authenticate": "Bearer"})


def _refuse(scope: Scope, error: HTTPException) -> ASGIApp:
    if scope["type"] == "websocket":
        return WebSocketClose(1008)
    return problem_response(Request(scope), error.status_code, error.detail)


def _come_back(scope: Scope) -> ASGIApp:
    """Nobody can be recognised while the store cannot be read."""
    return WebSocketClose(1013) if scope["type"] == "websocket" else HTMLResponse(NO_STORE.format(style=STYLE), 503)


@router.get("/login")
async def show_form(centre: CentreDep, to: str = "/") -> Response:
    """Ask for name and password, if that is of any use."""
    return RedirectResponse("/", 303) if await centre.authenticator.is_open() else _form(_local(to))


@router.post("/login")
async def log_in(
    name: Annotated[str, Form(max_length=200)],
    password: Annotated[str, Form(max_length=1000)],
    centre: CentreDep,
    address: AddressDep,
    request: Request,
    to: Annotated[str, Form()] = "/",
) -> Response:
    """Begin a login of the pages, and go to the one that was wanted."""
    _refuse_other_sites(request)
    try:
        begun = await centre.sign_in.log_in(name, password, address, "pages")
    except CredentialsError as error:
        return _form(_local(to), name, str(error), 401)
    except HTTPException as error:
        return _form(_local(to), name, error.detail, error.status_code)
    response = RedirectResponse(_local(to), 303)
    response.set_cookie(
        COOKIE,
        begun.access_token,
        max_age=begun.lifetime_s,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


@router.post("/logout")
async def log_out(centre: CentreDep, request: Request) -> Response:
    """End the login of the pages."""
    _refuse_other_sites(request)
    try:
        visitor = await visitor_of(request, centre)
    except CredentialsError as error:
        raise unauthorized(str(error)) from error
    await run_in_threadpool(end_login, centre.store, visitor, centre.now())
    centre.authenticator.forget()
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE, httponly=True, samesite="lax")
    return response


def _form(to: str, name: str = "", trouble: str = "", status: int = 200) -> HTMLResponse:
    told = f'<p class="sw-trouble" role="alert">{escape(trouble)}</p>' if trouble else ""
    page = FORM.format(style=STYLE, trouble=told, name=escape(name), to=escape(to))
    return HTMLResponse(page, status, {"Cache-Control": "no-store"})


def _local(to: str) -> str:
    """Where to go after the login: a page of ours, whatever a link made somebody ask for."""
    if not to.startswith("/") or to.startswith(("//", "/\\")):
        return "/"
    return quote(urlsplit(to).path, safe="/")


def _refuse_other_sites(request: Request) -> None:
    """Take forms of our own pages only; browsers say where one comes from."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403, "This form was sent by a page of another site.")
