"""Names each request, so that whoever asked, the log and the programs in between can speak of the same one."""

import re
import secrets
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars

REQUEST_ID = "X-Request-ID"
_ID = re.compile(r"[A-Za-z0-9._~+/=:-]{1,128}")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?")


@dataclass(frozen=True, slots=True)
class Correlation:
    """Middleware that gives each request an id and a trace (W3C Trace Context), or takes over those it comes with.

    Both are in every line of the log from then on, and in the answer as ``X-Request-ID`` and ``traceresponse``.
    """

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and its answer back with its names."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = headers.get(REQUEST_ID, "")
        if _ID.fullmatch(request_id) is None:
            request_id = secrets.token_hex(16)
        trace_id, flags = _trace(headers.get("traceparent", ""))
        # Never taken back: each request has a task of its own, whose end the server logs after us.
        bind_contextvars(request_id=request_id, trace_id=trace_id)

        async def send_with_names(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                answer[REQUEST_ID] = request_id
                answer["traceresponse"] = f"00-{trace_id}-{secrets.token_hex(8)}-{flags}"
            await send(message)

        await self.app(scope, receive, send_with_names if scope["type"] == "http" else send)


def _trace(traceparent: str) -> tuple[str, str]:
    """The trace id and flags of a caller's trace, or of a new one.

    >>> _trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    ('0af7651916cd43dd8448eb211c80319c', '01')
    >>> len(_trace("none")[0])
    32
    """
    found = _TRACEPARENT.fullmatch(traceparent)
    return (secrets.token_hex(16), "00") if found is None else (found[1], found[2])
