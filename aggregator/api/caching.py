"""What reads have in common: field selection, compression, and conditional requests (RFC 9110, 9111)."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aggregator.api.etags import of_content
from aggregator.api.selection import PARAMETER, select

PREFIX = "/api/"
COMPRESSED_FROM_BYTES = 1000
# Answers depend on who asks and may be other ones a second later.
CACHE_CONTROL = "private, no-cache"
KEPT_BY_304 = ("etag", "cache-control", "vary", "link")


class Reads:
    """Middleware that cuts, tags, compresses and saves the answers to GET; what is sent to others stays as it is.

    Only reads are compressed: no answer to them has a secret, whose bytes its length could give away.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._compressed = GZipMiddleware(self._conditional, minimum_size=COMPRESSED_FROM_BYTES, compresslevel=1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and its answer back, if it is needed."""
        is_read = scope["type"] == "http" and scope["method"] == "GET" and scope["path"].startswith(PREFIX)
        await (self._compressed if is_read else self._app)(scope, receive, send)

    async def _conditional(self, scope: Scope, receive: Receive, send: Send) -> None:
        start: Message | None = None

        async def send_if_needed(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("Cache-Control", CACHE_CONTROL)
                start = message
                return
            if start is not None:
                start, message = _tagged(scope, start, message)
                await send(start)
                start = None
            await send(message)

        await self._app(scope, receive, send_if_needed)


def _tagged(scope: Scope, start: Message, body: Message) -> tuple[Message, Message]:
    """What is wanted of an answer, with its tag, or that it is what the caller has; streams are sent as they are."""
    headers = MutableHeaders(scope=start)
    is_json = headers.get("content-type", "").startswith("application/json")
    if start["status"] != 200 or not is_json or body.get("more_body", False):
        return start, body
    if PARAMETER.encode() in scope["query_string"]:
        body = {**body, "body": select(scope["query_string"], body["body"])}
        headers["Content-Length"] = str(len(body["body"]))
    headers["ETag"] = tag = of_content(headers.get("etag"), body["body"])
    if not _has(Headers(scope=scope).get("if-none-match"), tag):
        return start, body
    kept = [(name, value) for name, value in start["headers"] if name.decode("latin-1") in KEPT_BY_304]
    return {**start, "status": 304, "headers": kept}, {**body, "body": b""}


def _has(if_none_match: str | None, tag: str) -> bool:
    """Whether a caller has an answer with this tag, weak or strong."""
    seen = {one.strip().removeprefix("W/") for one in (if_none_match or "").split(",")}
    return tag.removeprefix("W/") in seen or "*" in seen
