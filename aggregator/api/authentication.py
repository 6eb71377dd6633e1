"""Recognises who asks: by an API key, by a token of a login here, or by one of an outside issuer."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from aggregator.access.issuer import Issuer
from aggregator.access.opaque import ApiKey, digest_of, parse_api_key
from aggregator.access.roles import FULL_ACCESS, Caller
from aggregator.access.tokens import CredentialsError, Purpose, Token, TokenKey
from aggregator.store import api_keys
from aggregator.store.database import Store
from aggregator.store.logins import find_login
from aggregator.store.people import is_open
from shared.settings import is_loopback

ANYONE = "anyone"
"""Whoever asks while there are no accounts, which is only possible on loopback."""

FRESH = timedelta(seconds=2)
KNOWN_MAX = 10_000
INVALID = "These credentials are not valid, or no longer; log in again, or use another key."
NOT_FROM_HERE = (
    "As long as nobody has an account, this centre answers only programs and pages of its own machine, by a loopback "
    "address such as 127.0.0.1; to change that run: spoolwatch-aggregator user add NAME --role admin"
)


def address_of(asked: HTTPConnection) -> str:
    """Where a request comes from, by what the server and its trusted proxies say."""
    return asked.client.host if asked.client is not None else "unknown"


def _names_this_machine(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:  # such as half an IPv6 address
        return False


class _Known(NamedTuple):
    caller: Caller
    until: datetime


class Authenticator:
    """Knows callers by what they show; asks the store again when what it knows is older than ``FRESH``.

    Args:
        store: where people, logins and keys are.
        key: signs and reads the tokens of logins.
        issuer: an outside issuer whose tokens are taken as well.
        now: the clock, aware UTC.
        origins: other origins whose pages may use the API.
    """

    def __init__(
        self,
        store: Store,
        key: TokenKey,
        issuer: Issuer | None,
        now: Callable[[], datetime],
        origins: Collection[str] = (),
    ) -> None:
        self._store, self._key, self._issuer, self._now, self._origins = store, key, issuer, now, origins
        self._known: dict[bytes, _Known] = {}
        self._open_until: datetime | None = None
        self._has_accounts = issuer is not None

    async def is_open(self) -> bool:
        """Whether there are no accounts, so that everybody on this machine may do everything."""
        if self._has_accounts:
            return False
        if self._open_until is None or self._open_until <= self._now():
            self._has_accounts = not await asyncio.to_thread(is_open, self._store)
            self._open_until = self._now() + FRESH
        return not self._has_accounts

    async def recognise(self, text: str | None, asked: HTTPConnection, purpose: Purpose = "api") -> Caller:
        """Who shows this.

        Args:
            text: a key or token, if any was shown.
            asked: the request that it came with.
            purpose: what a token must have been issued for.

        Raises:
            CredentialsError: it is good for nothing, or there is none and somebody has an account.
            HTTPException: 403, nobody has one, and the request is of a page of another site.
        """
        address = address_of(asked)
        if await self.is_open():
            self._check_from_here(asked.headers)
            return Caller(ANYONE, FULL_ACCESS, address)
        if text is None:
            raise CredentialsError("Say who you are: send a token or an API key as `Authorization: Bearer …`.")
        place = digest_of(f"{purpose} {text}")
        known = self._known.get(place)
        if known is None or known.until <= self._now():
            self._known.pop(place, None)
            known = await self._look_up(text, purpose)
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[place] = known
        return replace(known.caller, address=address)

    def forget(self) -> None:
        """Ask the store again, because a person, login or key has changed."""
        self._known.clear()
        self._open_until = None

    def _check_from_here(self, headers: Headers) -> None:
        """Keep pages of other sites out that somebody on this machine has open, also where their name leads here."""
        origin = headers.get("origin")
        from_here = origin is None or origin in self._origins or _names_this_machine(origin)
        if not (from_here and _names_this_machine(f"//{headers.get('host')}")):
            raise HTTPException(403, NOT_FROM_HERE)

    async def _look_up(self, text: str, purpose: Purpose) -> _Known:
        now = self._now()
        key = parse_api_key(text)
        found = await (self._by_token(text, purpose, now) if key is None else asyncio.to_thread(self._by_key, key, now))
        if found is None:
            raise CredentialsError(INVALID)
        caller, expires_at = found
        return _Known(caller, min(expires_at, now + FRESH))

    def _by_key(self, shown: ApiKey, now: datetime) -> tuple[Caller, datetime] | None:
        with self._store.session() as session:
            return api_keys.recognise(session, shown, now)

    async def _by_token(self, text: str, purpose: Purpose, now: datetime) -> tuple[Caller, datetime] | None:
        try:
            token = self._key.read(text, purpose, now)
        except CredentialsError:
            return await self._by_issuer(text, now)
        return await asyncio.to_thread(self._by_login, token, now)

    def _by_login(self, token: Token, now: datetime) -> tuple[Caller, datetime] | None:
        with self._store.session() as session:
            running = find_login(session, token.login, now)
        return None if running is None else (running.caller(None), token.expires_at)

    async def _by_issuer(self, text: str, now: datetime) -> tuple[Caller, datetime] | None:
        if self._issuer is None:
            return None
        try:
            return await self._issuer.recognise(text, now)
        except CredentialsError:
            return None
