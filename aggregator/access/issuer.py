"""An outside issuer of tokens (Keycloak, Supabase, …): known by the keys that it publishes as a JWK set (RFC 7517)."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any

import structlog
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from aggregator.access.download import download
from aggregator.access.roles import Caller, Grant, Role
from aggregator.access.tokens import MALFORMED, CredentialsError
from aggregator.settings import IssuerSettings

ALGORITHMS = ("RS256", "PS256", "ES256", "Ed25519")
LEEWAY_S = 30
KEYS_FRESH_S = 600.0
RETRY_S = 30.0
FETCH_TIMEOUT_S = 5.0  # for all of it, however slowly it comes
KEYS_MAX_BYTES = 1024 * 1024
THREADS = 4

log = structlog.get_logger(__name__)


class Issuer:
    """Reads the tokens of one issuer; safe to share between threads.

    Args:
        settings: who it is, and where its tokens say who may do what.
        clock: seconds that only grow.
    """

    def __init__(self, settings: IssuerSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(THREADS, "issuer")
        self._keys: KeySet | None = None
        self._asked_at = -RETRY_S
        self._strange_s = RETRY_S

    async def recognise(self, text: str, now: datetime) -> tuple[Caller, datetime]:
        """As ``read``, in threads of its own: nobody else waits while keys are fetched."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, copy_context().run, self.read, text, now)

    def read(self, text: str, now: datetime) -> tuple[Caller, datetime]:
        """Whom a token stands for, and until when; may take seconds where keys have to be fetched.

        Raises:
            CredentialsError: it is not of this issuer, not for us, or over.
        """
        expected = jwt.JWTClaimsRegistry(
            now=int(now.timestamp()),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": str(self._settings.url)},
            aud={"essential": True, "value": str(self._settings.audience)},
            exp={"essential": True},
        )
        try:
            claims = self._decode(text)
            expected.validate(claims)
            expires_at = datetime.fromtimestamp(claims["exp"] + LEEWAY_S, UTC)
        except MALFORMED as error:
            raise CredentialsError(f"the token is not valid: {error}") from error
        name = find_claim(claims, self._settings.name_claim)
        if not isinstance(name, str) or not name:
            raise CredentialsError(f"the token has no claim {self._settings.name_claim}")
        granted = find_claim(claims, self._settings.roles_claim)
        return Caller(f"{name} of {self._settings.url}", grants_in(granted)), expires_at

    def _decode(self, text: str) -> dict[str, Any]:
        try:
            return jwt.decode(text, self._key_set(KEYS_FRESH_S), algorithms=ALGORITHMS).claims
        except InvalidKeyIdError:  # it may have been published since
            return jwt.decode(text, self._key_set(self._strange_s), algorithms=ALGORITHMS).claims

    def _key_set(self, fresh_s: float) -> KeySet:
        """The published keys, asked for again where they are older than this, and never more often than that."""
        # Whoever has old keys goes on with them while somebody else fetches.
        wanted = self._keys is None or self._is_due(fresh_s)
        if wanted and self._lock.acquire(blocking=self._keys is None):
            try:
                if self._is_due(fresh_s):
                    self._asked_at = self._clock()
                    before = _ids(self._keys)
                    self._fetch()
                    # Anybody can make up key ids: what brings no new key is asked for less and less often.
                    is_news = _ids(self._keys) != before
                    self._strange_s = RETRY_S if is_news else min(2 * self._strange_s, KEYS_FRESH_S)
            finally:
                self._lock.release()
        if self._keys is None:
            raise CredentialsError(f"the keys of {self._settings.url} cannot be fetched at the moment")
        return self._keys

    def _is_due(self, fresh_s: float) -> bool:
        return self._clock() - self._asked_at >= (fresh_s if self._keys is not None else RETRY_S)

    def _fetch(self) -> None:
        url = str(self._settings.jwks_url)
        try:
            self._keys = KeySet.import_key_set(json.loads(download(url, FETCH_TIMEOUT_S, KEYS_MAX_BYTES)))
        except (OSError, HTTPException, ValueError, TypeError, KeyError, JoseError) as error:
            log.warning("issuer_keys_unavailable", url=url, error=str(error), keeping_old_ones=self._keys is not None)


def _ids(keys: KeySet | None) -> set[str | None]:
    return set() if keys is None else {key.kid for key in keys.keys}


def find_claim(claims: Mapping[str, Any], name: str) -> Any:
    """Find a claim by its name or, inside of others, by its path.

    >>> find_claim({"realm_access": {"roles": ["x"]}}, "realm_access.roles")
    ['x']
    """
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def grants_in(claim: Any) -> tuple[Grant, ...]:
    """Read what a claim grants; whatever else an issuer says there is of others.

    >>> grants_in(["engineer@hamburg", "viewer@*", "offline_access", "king@hamburg"])
    (Grant(role=<Role.ENGINEER: 'engineer'>, site='hamburg'), Grant(role=<Role.VIEWER: 'viewer'>, site='*'))
    """
    texts: Iterable[Any] = claim if isinstance(claim, list) else [claim]
    parts = [text.partition("@") for text in texts if isinstance(text, str)]
    roles = {str(role) for role in Role}
    return tuple(Grant(Role(role), site) for role, _, site in parts if role in roles and site)
