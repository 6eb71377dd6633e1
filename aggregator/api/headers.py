"""Headers that tell a browser what it must not do with our answers."""

from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    # The pages build scripts and styles in place, so that their sources cannot be restricted further.
    "Content-Security-Policy": "frame-ancestors 'none'; base-uri 'self'; form-action 'self'; object-src 'none'",
}
OVER_TLS = {"Strict-Transport-Security": "max-age=31536000"}


def headers_for(scheme: str) -> dict[str, str]:
    """What an answer says over this scheme."""
    return ALWAYS | OVER_TLS if scheme == "https" else ALWAYS


@dataclass(frozen=True, slots=True)
class SecurityHeaders:
    """Middleware that adds the headers to every answer that does not have its own."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and its answer back with the headers."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in headers_for(scope["scheme"]).items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)
