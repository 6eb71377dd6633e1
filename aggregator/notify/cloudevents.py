"""Tells machines: CloudEvents 1.0 in structured JSON, posted and signed as Standard Webhooks says."""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import httpx

from aggregator.notify.outcome import AddressError, Outcome
from shared.settings import is_loopback

DEADLINE_S = 10.0
SECRET_MARK = "whsec_"  # noqa: S105 (how each of them begins)
SECRET_BYTES = 32
ANSWER_SHOWN = 200
_MAY_COME_RIGHT = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


def draw_secret() -> str:
    """A new secret, which sender and receiver share."""
    return SECRET_MARK + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def sign(secret: str, message_id: str, at_s: int, body: bytes) -> str:
    """The signature of a message: HMAC-SHA256 over its id, its time in seconds since 1970, and its body.

    >>> sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_1", 1614265330, b"{}")
    'v1,ZztYR0IIDCBCUcYzh8ZE+qsQWpIgtHU7R1hpe8htaD4='
    """
    key = base64.b64decode(secret.removeprefix(SECRET_MARK))
    digest = hmac.digest(key, b"%s.%d.%s" % (message_id.encode(), at_s, body), hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def check_url(url: str) -> str:
    """Make sure that events can be posted to a URL; returns what of it may be shown, for the rest may be a secret.

    >>> check_url("https://cmms.example.org:8443/hooks/7f3a")
    'https://cmms.example.org:8443'

    Raises:
        AddressError: they cannot.
    """
    try:
        parts = urlsplit(url)
        port = "" if parts.port is None else f":{parts.port}"
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL) as error:
        raise AddressError(f"this is no URL: {error}") from error
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise AddressError("write the URL with its scheme and host, like https://cmms.example.org/hooks/spoolwatch")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise AddressError("events travel encrypted, or to this very machine: use https")
    if parts.username or parts.password:
        raise AddressError("leave name and password out of the URL: the receiver knows us by the signature")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{port}"


def event(event_id: str, source: str, kind: str, subject: str, at: datetime, data: Mapping[str, Any]) -> dict[str, Any]:
    """A CloudEvent; id and source together name it, however often it is sent."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": f"spoolwatch.{kind}",
        "subject": subject,
        "time": at.isoformat(),
        "datacontenttype": "application/json",
        "data": data,
    }


async def post(url: str, good: Sequence[str], told: Mapping[str, Any], now: datetime) -> Outcome:
    """Post one event, signed by each secret that is good; redirects are not followed, certificates have to be good."""
    body = json.dumps(told, ensure_ascii=False).encode()
    message_id, at_s = str(told["id"]), int(now.timestamp())
    headers = {
        "Content-Type": "application/cloudevents+json; charset=utf-8",
        "User-Agent": "Spoolwatch",
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(sign(secret, message_id, at_s, body) for secret in good),
    }
    try:
        async with (
            asyncio.timeout(DEADLINE_S),
            httpx.AsyncClient(verify=_tls(), timeout=DEADLINE_S) as client,
            client.stream("POST", url, content=body, headers=headers) as answer,
        ):
            said = b"" if answer.is_success else await _beginning(answer)
            return _outcome(answer, said, now)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError) as error:
        return Outcome("failed", _in_words(error))


@cache
def _tls() -> ssl.SSLContext:
    """The authorities that this machine trusts, so that one of the house need only be installed there."""
    return ssl.create_default_context()


async def _beginning(answer: httpx.Response) -> bytes:
    said = b""
    async for part in answer.aiter_bytes():
        said += part
        if len(said) >= ANSWER_SHOWN:
            break
    return said[:ANSWER_SHOWN]


def _outcome(answer: httpx.Response, said: bytes, now: datetime) -> Outcome:
    status = answer.status_code
    if answer.is_success:
        return Outcome("sent", f"taken with status {status}")
    words = f"answered {status} {answer.reason_phrase}".rstrip()
    if answer.is_redirect:
        return Outcome("refused", f"{words}: redirects are not followed; enter the URL that it leads to")
    text = " ".join(said.decode(errors="replace").split())
    words += f": {text}" if text.isprintable() and text else ""
    if status in _MAY_COME_RIGHT or answer.is_server_error:
        return Outcome("failed", words, _retry_after_s(answer.headers.get("Retry-After"), now))
    return Outcome("refused", words)


def _retry_after_s(given: str | None, now: datetime) -> float | None:
    """Read Retry-After, seconds or a date (RFC 9110); what is neither is as if it were not there."""
    if given is None:
        return None
    if given.strip().isdecimal():
        return float(given)
    try:
        at = parsedate_to_datetime(given)
    except ValueError:
        return None
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds())


def _in_words(error: BaseException) -> str:
    for cause in _causes(error):
        match cause:
            case ssl.SSLCertVerificationError():
                return f"its certificate is not trusted: {cause.verify_message}"
            case ssl.SSLError():
                return f"TLS failed: {cause.reason or cause}"
            case socket.gaierror():
                return f"its host name is not known: {cause.strerror}"
            case ConnectionRefusedError():
                return "the connection was refused: nobody listens there"
            case TimeoutError() | httpx.TimeoutException():
                return f"it did not answer within {DEADLINE_S:g} s"
    first = next(_causes(error))
    return f"the connection failed: {first}" if str(first) else f"the connection failed: {type(first).__name__}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from, the innermost first."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    for one in reversed(chain):
        if isinstance(one, BaseExceptionGroup):
            yield from one.exceptions
        yield one
