"""Logs people in by name and password, for programs and for the pages; names that nobody has cost the same work."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import uuid4

from aggregator.access.backoff import LoginBackoff
from aggregator.access.passwords import MAX_LENGTH, is_password
from aggregator.access.roles import PERSON_NAME
from aggregator.access.tokens import CredentialsError, Purpose, TokenKey
from aggregator.api.limits import RateLimit, too_many
from aggregator.store.database import Store
from aggregator.store.logins import Renewed, begin_login, note_failed_login, renew_login
from aggregator.store.people import find_person

TOKEN_LIFETIME_S = 15 * 60
LOGIN_LIFETIME = {"api": timedelta(days=7), "pages": timedelta(hours=12)}
HASHES_AT_ONCE = 2  # each takes 64 MiB
REFUSED = "There is nobody of this name with this password."


class LoggedIn(NamedTuple):
    """What a login gives: a token for the next minutes (of the pages: hours), and one to renew it."""

    access_token: str
    lifetime_s: int
    refresh_token: str


class SignIn:
    """Checks passwords and gives tokens.

    Args:
        store: where people and logins are.
        key: signs the tokens.
        rate: how many attempts are looked at, by address.
        now: the clock, aware UTC.
    """

    def __init__(self, store: Store, key: TokenKey, rate: str, now: Callable[[], datetime]) -> None:
        self._store, self._key, self._now = store, key, now
        self._rate = RateLimit(rate)
        self._backoff = LoginBackoff()
        self._hashing = asyncio.Semaphore(HASHES_AT_ONCE)

    async def log_in(self, name: str, password: str, address: str, purpose: Purpose) -> LoggedIn:
        """Begin a login.

        Raises:
            CredentialsError: there is nobody of this name with this password.
            HTTPException: 429, there were too many attempts.
        """
        name = name.strip().lower()
        await self.check(name, password, address)
        now = self._now()
        expires_at = now + LOGIN_LIFETIME[purpose]
        begun = await asyncio.to_thread(begin_login, self._store, name, str(uuid4()), address, now, expires_at)
        return self._tokens(begun, purpose)

    async def check(self, name: str, password: str, address: str) -> None:
        """Make sure that somebody has this name and this password.

        Raises:
            CredentialsError: nobody has.
            HTTPException: 429, there were too many attempts.
        """
        await self._rate.take(address)
        place, now = (address, name), self._now()
        if (wait_s := self._backoff.wait_s(place, now)) > 0:
            raise too_many(wait_s)
        # Counted as failed until it has succeeded, so that attempts at the same time do not escape it.
        self._backoff.fail(place, now)
        async with self._hashing:
            known = await asyncio.to_thread(self._check, name, password)
        if not known:
            # What somebody typed into the wrong field may be a password, which the log must not show.
            shown = name if PERSON_NAME.fullmatch(name) else "(no name)"
            await asyncio.to_thread(note_failed_login, self._store, shown, address, now)
            raise CredentialsError(REFUSED)
        self._backoff.succeed(place)

    async def renew(self, refresh_token: str, address: str) -> LoggedIn:
        """Exchange the token that renews a login, which is good once.

        Raises:
            CredentialsError: it is good for nothing, or was used before, which ends its login.
            HTTPException: 429, there were too many attempts.
        """
        await self._rate.take(address)
        renewed = await asyncio.to_thread(renew_login, self._store, refresh_token, address, self._now())
        if renewed is None:
            raise CredentialsError("This token renews nothing, or no longer; log in again.")
        return self._tokens(renewed, "api")

    def _check(self, name: str, password: str) -> bool:
        with self._store.session() as session:
            person = find_person(session, name) if PERSON_NAME.fullmatch(name) else None
        # A long password is refused only here, after the same work.
        matches = is_password(password[:MAX_LENGTH], None if person is None else person.password_hash)
        return matches and len(password) <= MAX_LENGTH and person is not None and person.disabled_at is None

    def _tokens(self, renewed: Renewed, purpose: Purpose) -> LoggedIn:
        lifetime_s = TOKEN_LIFETIME_S if purpose == "api" else int(LOGIN_LIFETIME[purpose].total_seconds())
        token = self._key.issue(renewed.login, purpose, self._now(), lifetime_s)
        return LoggedIn(token, lifetime_s, renewed.refresh_token)
