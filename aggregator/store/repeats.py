"""Remembers for a day which requests came with a key, and what they were answered: for all replicas."""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from aggregator.store.database import Store
from aggregator.store.tables import KeyedRequest, core
from shared.errors import SpoolwatchError

KEPT = timedelta(hours=24)
KEYS_OF_ONE = 50_000
KEPT_MAX_BYTES = 64 * 1024 * 1024
"""Of the answers to one caller."""

_request = core(KeyedRequest)
_SAID = tuple(_request.c[name] for name in ("digest", "begun_at", "status", "headers", "body"))


class TooManyKeysError(SpoolwatchError):
    """A caller has used so many keys within a day that no more are remembered."""


class Name(NamedTuple):
    """Whose request it is, and the key that they gave it."""

    caller: str
    key: str


class Known(NamedTuple):
    """What is remembered of a request; ``status`` is None until it is answered, ``body`` if the answer is not kept."""

    digest: bytes
    begun_at: datetime
    status: int | None
    headers: dict[str, str] | None
    body: bytes | None


def begin(store: Store, name: Name, digest: bytes, now: datetime) -> Known | None:
    """Note that a request begins, unless it did before: then what is known of it is returned.

    Args:
        store: where.
        name: of the request.
        digest: of what is asked; the same only for the same request.
        now: the time.

    Raises:
        TooManyKeysError: the caller must wait until older keys are forgotten.
    """
    try:
        return _begin(store, name, digest, now)
    except IntegrityError:  # it has begun at another replica at this very moment
        return _begin(store, name, digest, now)


def settle(store: Store, name: Name, status: int, headers: dict[str, str], body: bytes | None) -> None:
    """Keep the answer to a request that has begun; without ``body``, or room for it, only that there was one."""
    with store.writing() as connection:
        is_kept = body is not None and _kept_bytes(connection, name.caller) + len(body) <= KEPT_MAX_BYTES
        answer = {"headers": headers, "body": body} if is_kept else {}
        connection.execute(update(_request).where(_is(name)).values(status=status, **answer))


def release(store: Store, name: Name) -> None:
    """Forget a request that has changed nothing, so that it may be tried again."""
    with store.writing() as connection:
        connection.execute(delete(_request).where(_is(name)))


def _begin(store: Store, name: Name, digest: bytes, now: datetime) -> Known | None:
    with store.writing() as connection:
        connection.execute(delete(_request).where(_request.c.begun_at <= now - KEPT))
        known = connection.execute(select(*_SAID).where(_is(name))).one_or_none()
        if known is not None:
            return Known(*known)
        _check_room(connection, name.caller)
        connection.execute(insert(_request).values(**name._asdict(), digest=digest, begun_at=now))
    return None


def _check_room(connection: Connection, caller: str) -> None:
    used = connection.scalar(select(func.count()).where(_request.c.caller == caller))
    if (used or 0) >= KEYS_OF_ONE:
        raise TooManyKeysError(f"more than {KEYS_OF_ONE} keys of {caller} within {KEPT.days} day")


def _kept_bytes(connection: Connection, caller: str) -> int:
    kept = select(func.sum(func.length(_request.c.body))).where(_request.c.caller == caller)
    return connection.scalar(kept) or 0


def _is(name: Name) -> ColumnElement[bool]:
    return and_(_request.c.caller == name.caller, _request.c.key == name.key)
