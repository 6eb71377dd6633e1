"""How much is taken from one client: requests per time by client and route, and bytes per body."""

import math
import time
from dataclasses import dataclass

from fastapi import HTTPException
from limits import parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send


def too_many(wait_s: float) -> HTTPException:
    """The error for a client that asks too often."""
    seconds = max(1, math.ceil(wait_s))
    return HTTPException(429, f"Too many requests; try again in {seconds} s.", {"Retry-After": str(seconds)})


class RateLimit:
    """Requests per time, counted in fixed windows in the memory of this process: several aggregators count apart."""

    def __init__(self, rate: str) -> None:
        self._item = parse(rate)
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    async def take(self, *who: str) -> None:
        """Count one request.

        Raises:
            HTTPException: 429, it is one too many.
        """
        if not await self._limiter.hit(self._item, *who):
            window = await self._limiter.get_window_stats(self._item, *who)
            raise too_many(window.reset_time - time.time())


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """Middleware that lets no route read more of a body than this many bytes, whatever its header says."""

    app: ASGIApp
    max_bytes: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; to read too much of it raises the error that is answered with 413."""
        announced = Headers(scope=scope).get("content-length", "") if scope["type"] == "http" else ""
        read_bytes = 0
        too_long = HTTPException(413, f"The body is longer than {self.max_bytes} bytes.", {"Connection": "close"})

        async def receive_some() -> Message:
            nonlocal read_bytes
            if announced.isdecimal() and int(announced) > self.max_bytes:
                raise too_long
            message = await receive()
            read_bytes += len(message.get("body", b""))
            if read_bytes > self.max_bytes:
                raise too_long
            return message

        await self.app(scope, receive_some if scope["type"] == "http" else receive, send)
