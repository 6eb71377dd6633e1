"""A POST with a key is done once, however often it is sent (draft-ietf-httpapi-idempotency-key-header)."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import NamedTuple

import structlog
from fastapi import HTTPException
from fastapi.routing import iter_route_contexts
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aggregator.access.tokens import CredentialsError
from aggregator.api.deps import Centre, Needs, caller_of, calls_of
from aggregator.api.problems import problem_response
from aggregator.api.schemas.idempotency import HEADER, PATTERN
from aggregator.store import repeats
from aggregator.store.reads import DatabaseError
from aggregator.store.repeats import Known, Name, TooManyKeysError
from shared.errors import SpoolwatchError

REPLAYED = "Idempotency-Replayed"
ANSWER_MAX_BYTES = 256 * 1024

OTHER_REQUEST = (
    "This Idempotency-Key was sent with another request before, or you may act at other sites since: look whether "
    "that was done, and give each request a key of its own."
)
UNANSWERED = (
    "A request with this Idempotency-Key has begun at {at} and is not answered yet: try again in a moment. If it "
    "stays so, its aggregator failed or was stopped: look whether it was done, and if not, send it with another key."
)
NOT_KEPT = (
    "This was done at {at}. Its answer held a secret, was very long or came after many others, so it was not kept and "
    "cannot be given again; if you did not get it, look at what is there, take it back, and do it with another key."
)
NOT_NOW = 503
"""What a route answers where it has changed nothing and will take the very same later."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Idempotency:
    """Middleware that keeps the answers to POSTs with a key, and gives them again; what was refused may be tried again.

    Keys are the caller's own. A request of nobody in particular, such as a login, is done each time.

    Attributes:
        app: what answers.
        secret: keys the digests of requests, so that the store alone gives away no password in a body; of all replicas.
    """

    app: ASGIApp
    secret: bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, unless it came before."""
        key = Headers(scope=scope).get(HEADER) if scope["type"] == "http" and scope["method"] == "POST" else None
        asker = None if key is None else await _asker(scope)
        if key is None or asker is None:
            await self.app(scope, receive, send)
            return
        centre: Centre = scope["app"].state.centre
        request = Request(scope)
        try:
            await centre.rate.take(asker.name, HEADER)
            name = Name(asker.name, _key(key))
            body = await _read(receive)
            if body is None:
                return
            digest = self._digest(scope, asker.sites, body)
            known = await asyncio.to_thread(repeats.begin, centre.store, name, digest, centre.now())
            if known is None:
                await self._do(centre, name, scope, _again(body, receive), send)
                return
            answer = _repeat(request, known, digest)
        except TooManyKeysError as error:
            answer = problem_response(request, 429, f"There are {error}.", headers={"Retry-After": "3600"})
        except HTTPException as error:
            answer = problem_response(request, error.status_code, error.detail, headers=error.headers)
        await answer(scope, receive, send)

    async def _do(self, centre: Centre, name: Name, scope: Scope, receive: Receive, send: Send) -> None:
        """Have a request answered, and keep the answer before anybody gets it.

        After a defect, or when stopped meanwhile, it stays unanswered: its thread may have committed, or yet do so.
        """
        answer: list[Message] = []

        async def collect(message: Message) -> None:
            answer.append(message)

        await self.app(scope, receive, collect)
        status = answer[0]["status"]
        if 200 <= status < 300:
            await _note(partial(repeats.settle, centre.store, name, *_kept(answer)))
        elif status < 500 or status == NOT_NOW:
            await _note(partial(repeats.release, centre.store, name))
        for message in answer:
            await send(message)

    def _digest(self, scope: Scope, sites: str, body: bytes) -> bytes:
        """The same for the same request only, of somebody who may act where they might before."""
        content_type = Headers(scope=scope).get("content-type", "")
        parts = (scope["path"].encode(), scope["query_string"], content_type.encode("latin-1"), sites.encode(), body)
        told_apart = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return blake2b(told_apart, key=self.secret, digest_size=16).digest()


class _Asker(NamedTuple):
    """Whose key it is, and at which sites the route takes them."""

    name: str
    sites: str


async def _asker(scope: Scope) -> _Asker | None:
    """Who asks; None where no route takes the request, or it takes everybody, or is to refuse who asks."""
    needs = _needs(scope)
    if not needs:
        return None
    try:
        caller = await caller_of(Request(scope))
        for need in needs:
            need.check(caller)
    except (CredentialsError, HTTPException):
        return None
    sites = [caller.sites(need.role) for need in needs if need.role is not None]
    return _Asker(caller.name, repr([None if some is None else sorted(some) for some in sites]))


def _needs(scope: Scope) -> list[Needs]:
    """What the route that takes a POST asks of its caller."""
    for route in iter_route_contexts(scope["app"].routes):
        if "POST" in (route.methods or ()) and route.path_regex.match(scope["path"]):
            return [call for call in calls_of(route.dependant) if isinstance(call, Needs)]
    return []


def _key(shown: str) -> str:
    """The key itself, which the draft has in quotes and most clients have not."""
    if re.match(PATTERN, shown) is None:
        raise HTTPException(422, f"{HEADER} takes 1 to 200 visible characters, such as a UUID.")
    return shown.strip('"')


async def _read(receive: Receive) -> bytes | None:
    """A whole body; None where the client has gone before its end."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    """Have a body read that was read before."""
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def read() -> Message:
        return next(messages, None) or await receive()

    return read


def _kept(answer: list[Message]) -> tuple[int, dict[str, str], bytes | None]:
    """What is kept of an answer: no body of one that no cache may keep, or of a very long one."""
    headers = Headers(raw=answer[0]["headers"])
    body = b"".join(message.get("body", b"") for message in answer[1:])
    is_kept = "no-store" not in headers.get("cache-control", "") and len(body) <= ANSWER_MAX_BYTES
    return answer[0]["status"], dict(headers.items()), body if is_kept else None


async def _note(work: Callable[[], None]) -> None:
    try:
        await asyncio.to_thread(work)
    except (DatabaseError, SpoolwatchError) as error:  # the request then counts as not answered
        log.warning("answer_not_kept", error=str(error))


def _repeat(request: Request, known: Known, digest: bytes) -> Response:
    if known.digest != digest:
        return problem_response(request, 422, OTHER_REQUEST)
    at = f"{known.begun_at:%Y-%m-%dT%H:%M:%SZ}"
    if known.status is None:
        return problem_response(request, 409, UNANSWERED.format(at=at), headers={"Retry-After": "1"})
    if known.body is None:
        return problem_response(request, 409, NOT_KEPT.format(at=at))
    return Response(known.body, known.status, (known.headers or {}) | {REPLAYED: "true"})
