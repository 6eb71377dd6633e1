"""The agent's only user of HTTP: asks the centre's API for certificates, over TLS or on loopback."""

import base64
import http.client
import json
import ssl
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec

from shared.errors import SpoolwatchError
from shared.messages import Utc
from shared.settings import Transport, is_loopback

TIMEOUT_S = 20.0
ANSWER_MAX_BYTES = 64 * 1024


class CentreApiError(SpoolwatchError):
    """The centre's API cannot be asked, or refuses, and why.

    Attributes:
        is_refusal: whether it has answered, so that to ask the same again is no use.
    """

    def __init__(self, message: str, *, is_refusal: bool = False) -> None:
        super().__init__(message)
        self.is_refusal = is_refusal


class Broker(msgspec.Struct, frozen=True, kw_only=True):
    """Where the broker is."""

    host: str
    port: int
    transport: Transport
    path: str


class Enrolled(msgspec.Struct, frozen=True, kw_only=True):
    """What the centre says to a gateway that it has let in."""

    gateway: str
    site: str
    engines: list[str]
    certificate: str
    expires_at: Utc
    broker: Broker
    centre_key: str


class CentreApi:
    """Asks the API at a URL.

    Args:
        url: such as ``https://centre.example.org:8000``.
        authority: who must have signed the certificate of whoever answers, in PEM; None to ask only what needs no
            trust, by ``authority``.

    Raises:
        CentreApiError: the URL is none, or would send secrets over a network in the clear.
    """

    def __init__(self, url: str, authority: str | None = None) -> None:
        self._url = _checked(url)
        self._authority = authority

    def authority(self) -> str:
        """The certificate authority that whoever answers there claims to have, in PEM; to be compared before use."""
        answer, _ = self._ask("GET", "enrolment/authority", None, is_public=True)
        return str(json.loads(answer)["certificate"])

    def now(self) -> datetime:
        """What time it is there, to the second; by whoever answers, for a wrong clock trusts no certificate."""
        _, date = self._ask("GET", "enrolment/authority", None, is_public=True)
        try:
            return parsedate_to_datetime(date or "")
        except ValueError as error:
            raise CentreApiError(f"{self._url.geturl()} does not say what time it is") from error

    def enrol(self, token: str, request_pem: str) -> Enrolled:
        """Exchange a token for a certificate."""
        return self._exchange("enrolment", {"token": token, "signing_request": request_pem})

    def renew(self, certificate_pem: str, request_pem: str, signature: bytes) -> Enrolled:
        """Exchange a certificate for a younger one."""
        shown = {"certificate": certificate_pem, "signing_request": request_pem}
        return self._exchange("enrolment/renewals", shown | {"signature": base64.b64encode(signature).decode()})

    def _exchange(self, path: str, body: Mapping[str, str]) -> Enrolled:
        answer, _ = self._ask("POST", path, json.dumps(body))
        try:
            return msgspec.json.decode(answer, type=Enrolled)
        except msgspec.DecodeError as error:
            raise CentreApiError(f"{self._url.geturl()} answers in another way than a centre does: {error}") from error

    def _ask(self, method: str, path: str, body: str | None, *, is_public: bool = False) -> tuple[bytes, str | None]:
        """Content and date of the answer."""
        connection = self._connect(is_public=is_public)
        try:
            target = f"{self._url.path.rstrip('/')}/api/v1/{path}"
            connection.request(method, target, body, {"Content-Type": "application/json", "Accept": "application/json"})
            answer = connection.getresponse()
            content = answer.read(ANSWER_MAX_BYTES)
        except ssl.SSLCertVerificationError as error:
            raise CentreApiError(
                f"{self._url.geturl()}: {error.verify_message}: whoever answers there shows no certificate of this "
                "centre for that name; nothing was sent"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise CentreApiError(f"{self._url.geturl()} does not answer: {error}") from error
        finally:
            connection.close()
        if not 200 <= answer.status < 300:
            raise CentreApiError(
                f"the centre refuses ({answer.status}): {_detail(content)}", is_refusal=answer.status in (401, 409, 422)
            )
        return content, answer.headers["Date"]

    def _connect(self, *, is_public: bool) -> http.client.HTTPConnection:
        host, port = str(self._url.hostname), self._url.port
        if self._url.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if is_public:  # nothing secret is sent, and what comes is compared with the fingerprint
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        elif self._authority is not None:
            context.load_verify_locations(cadata=self._authority)
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)


def read_authority(path: Path) -> str:
    """Read the authority's certificate from its file.

    Raises:
        CentreApiError: it cannot be read.
    """
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise CentreApiError(f"{path} cannot be read: {error}") from error


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise CentreApiError(f"{url} is no URL: {error}") from error
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise CentreApiError(f"{url} is no URL of the centre; it is like https://centre.example.org:8000")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise CentreApiError(f"{url}: over a network the token must not travel in the clear; use https")
    return parts


def _detail(content: bytes) -> Any:
    try:
        problem = json.loads(content)
        errors = "; ".join(error["detail"] for error in problem.get("errors") or [])
        return errors or problem["detail"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return content[:200].decode(errors="replace")
