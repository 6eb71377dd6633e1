"""Turns every error of the API into problem details, and documents them in the OpenAPI description."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.routing import Route, compile_path
from starlette.types import Receive, Scope, Send
from structlog.contextvars import get_contextvars

from aggregator.api.correlation import REQUEST_ID
from aggregator.api.headers import headers_for
from aggregator.api.schemas import idempotency
from aggregator.api.schemas.problem import FieldProblem, Problem
from aggregator.api.selection import describe_selection
from aggregator.store.alarm_actions import NoSuchAlarmError
from aggregator.store.alarm_rules import NoSuchRuleError
from aggregator.store.installations import NoSuchInstallationError
from aggregator.store.overhauls import NoSuchOverhaulError
from aggregator.store.reads import DatabaseError, is_out_of_reach
from aggregator.store.receivers import NoSuchReceiverError
from aggregator.store.registry import NoSuchEngineError, NotAtSiteError
from aggregator.store.versions import ChangedError
from aggregator.store.work_orders import NoSuchWorkOrderError
from shared.errors import SpoolwatchError, TopicError

PREFIXES = ("/api", "/health")
MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = "5"
_SCHEMAS = "#/components/schemas/{model}"

log = structlog.get_logger(__name__)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route that may answer with these problems, and with 500 and 503 as any may."""
    return {status: _described(status) for status in (*statuses, 500, 503)}


def _described(status: int) -> dict[str, Any]:
    # Not as a model: FastAPI would build a validator, which nobody asks, for each status of each route at every start.
    # That the schema is described all the same is thanks to the prediction of many engines, whose answer has problems.
    content = {MEDIA_TYPE: {"schema": {"$ref": _SCHEMAS.format(model=Problem.__name__)}}}
    return {"description": HTTPStatus(status).phrase, "content": content}


def invalid(location: str, detail: str) -> RequestValidationError:
    """The error for one thing in a request that only the program can tell is wrong."""
    return RequestValidationError([{"loc": (location,), "msg": detail}])


def no_such_engine(serial: str) -> HTTPException:
    """The error for a serial that nobody registered."""
    return HTTPException(404, f"Engine {serial} is not registered; register it with POST /api/v1/engines.")


def edit_problem(error: SpoolwatchError) -> HTTPException | RequestValidationError:
    """The error for an edit that the store refuses."""
    match error:
        case TopicError():
            return invalid("body", str(error))
        case (
            NoSuchEngineError()
            | NoSuchInstallationError()
            | NoSuchOverhaulError()
            | NoSuchAlarmError()
            | NoSuchRuleError()
            | NoSuchReceiverError()
            | NoSuchWorkOrderError()
        ):
            return HTTPException(404, str(error))
        case NotAtSiteError(site=site):
            return not_at(site, "engineer")
        case ChangedError():
            return HTTPException(412, str(error))
        case _:
            return HTTPException(409, str(error))


def unauthorized(detail: str) -> HTTPException:
    """The error for somebody who does not show who they are."""
    return HTTPException(401, detail, {"WWW-Authenticate": "Bearer"})


def not_at(site: str, role: str) -> HTTPException:
    """The error for somebody who may do this elsewhere."""
    where = "at all sites" if site == "*" else f"at site {site}"
    return HTTPException(403, f"This takes the role {role} {where}.")


def problem_of(request: Request, error: HTTPException | RequestValidationError) -> Problem:
    """The problem details of an error that a request has run into."""
    if isinstance(error, HTTPException):
        return _problem(request, error.status_code, error.detail, headers=error.headers)
    errors = [
        FieldProblem(location=".".join(str(part) for part in found["loc"]), detail=found["msg"])
        for found in error.errors()
    ]
    return _problem(request, 422, "The request is not valid; see errors.", errors)


def _problem(
    request: Request,
    status: int,
    detail: str,
    errors: list[FieldProblem] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Problem:
    return Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=request.url.path,
        errors=errors,
        retry_after_s=(headers or {}).get("Retry-After"),
    )


def problem_response(
    request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Answer a request with problem details."""
    return _respond(_problem(request, status, detail, headers=headers), headers)


def _respond(problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(problem.model_dump(exclude_none=True), problem.status, headers, media_type=MEDIA_TYPE)


def register(app: FastAPI, check_caller: Callable[[Request], Awaitable[None]]) -> None:
    """Make an app answer every error, unknown routes under its own prefixes included, with problem details.

    Args:
        app: the app.
        check_caller: raises what a request's route has against its caller; asked where a body could not be read, which
            is tried before: what is wrong with a body is told only to who may send one.
    """

    async def on_error(request: Request, error: Exception) -> JSONResponse:
        if _is_unread(error):
            try:
                await check_caller(request)
            except HTTPException as refused:
                return _answer(request, refused)
        return _answer(request, error)

    app.add_exception_handler(HTTPException, on_error)
    app.add_exception_handler(RequestValidationError, on_error)
    app.add_exception_handler(DatabaseError, _on_store)
    app.add_exception_handler(Exception, _on_defect)
    # The pages are mounted at "/" and would answer these in their own way.
    for prefix in PREFIXES:
        app.router.routes.append(Route(f"{prefix}{{path:path}}", _NoSuchRoute(app), include_in_schema=False))
    app.openapi = lambda: _describe(app)  # type: ignore[method-assign]  # FastAPI's documented way


class _NoSuchRoute:
    """Answers what no route wants: 405 where one would take another method, 404 otherwise."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        methods: dict[str, set[str]] = {}
        for route in iter_route_contexts(self._app.routes):
            if route.methods and compile_path(str(route.path))[0].match(scope["path"]):
                methods.setdefault(str(route.path), set()).update(route.methods)
        if methods:
            # Of /quarantine/redrive and /quarantine/{id}, the one that says it word for word.
            here = methods.get(scope["path"]) or set().union(*methods.values())
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(here))})
        raise HTTPException(404, f"There is nothing at {scope['path']}; see /api/docs.")


def _is_unread(error: Exception) -> bool:
    if isinstance(error, RequestValidationError):
        return any(found.get("type") == "json_invalid" for found in error.errors())
    return isinstance(error, HTTPException) and error.status_code in (400, 413)


def _answer(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, RequestValidationError):
        return _answer_invalid(request, error)
    assert isinstance(error, HTTPException)  # noqa: S101 (the only other one that it is registered for)
    if error.status_code == HTTPStatus.BAD_REQUEST:
        return _answer_invalid(request, invalid("body", "cannot be read"))
    detail = error.detail
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{request.method} is not possible here; see /api/docs."
    return problem_response(request, error.status_code, detail, headers=error.headers)


def _answer_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    return _respond(problem_of(request, error))


async def _on_store(request: Request, error: Exception) -> JSONResponse:
    if not is_out_of_reach(error):
        raise error
    log.warning("store_out_of_reach", method=request.method, path=request.url.path, error=str(error))
    detail = "The store is busy or cannot be reached; nothing was done. Try again."
    return problem_response(request, 503, detail, headers={"Retry-After": RETRY_AFTER_S})


async def _on_defect(request: Request, _: Exception) -> JSONResponse:
    # The server logs the exception itself, but not what was asked.
    log.error("request_failed", method=request.method, path=request.url.path)
    # This is answered outside of all middleware, which would have added these.
    headers = headers_for(request.url.scheme) | {REQUEST_ID: get_contextvars().get("request_id", "")}
    return problem_response(request, 500, "A defect in the aggregator; its log says more.", headers=headers)


def _add_what_all_have(method: str, operation: dict[str, Any]) -> None:
    """Document what routes do not do themselves: who asks and how often, long bodies, and requests that come again."""
    statuses = [401, 403, 429] if "security" in operation else []
    if method == "post" and "security" in operation:
        operation.setdefault("parameters", []).append(idempotency.PARAMETER)
        statuses += [409, 422]
    if method == "get" and "application/json" in operation["responses"].get("200", {}).get("content", {}):
        operation["responses"]["304"] = {"description": "It is as `If-None-Match` says."}
    if "requestBody" in operation:
        statuses.append(413)
    for status in statuses:
        operation["responses"].setdefault(str(status), _described(status))
    operation["responses"] = dict(sorted(operation["responses"].items()))


def _describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description, with what FastAPI does not know of."""
    if app.openapi_schema is None:
        description = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            webhooks=app.webhooks.routes,
            tags=app.openapi_tags,
        )
        schemas = description["components"]["schemas"]
        for method, operation in (each for path in description["paths"].values() for each in path.items()):
            describe_selection(operation, schemas)
            _add_what_all_have(method, operation)
        app.openapi_schema = description
    return app.openapi_schema
