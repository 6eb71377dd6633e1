"""The secrets that the centre hands out and keeps only digests of: API keys, and the tokens that renew a login."""

import hashlib
import hmac
import re
import secrets
from typing import NamedTuple

KEY_MARK = "swk_"
ID_BYTES = 4
SECRET_BYTES = 32
_API_KEY = re.compile(rf"{KEY_MARK}([0-9a-f]{{8}})_[A-Za-z0-9_-]+")
_REFRESH_TOKEN = re.compile(r"([A-Za-z0-9-]+)\.[A-Za-z0-9_-]+")


class ApiKey(NamedTuple):
    """An API key, ``swk_<id>_<secret>``: the id finds it in the store, the whole is what its digest is of."""

    id: str
    text: str


def draw_api_key() -> ApiKey:
    """A new key; its text is shown once and never stored."""
    key_id = secrets.token_hex(ID_BYTES)
    return ApiKey(key_id, f"{KEY_MARK}{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}")


def parse_api_key(text: str) -> ApiKey | None:
    """Read a key.

    >>> parse_api_key("swk_1f2e3d4c_abc")
    ApiKey(id='1f2e3d4c', text='swk_1f2e3d4c_abc')
    >>> parse_api_key("eyJhbGciOi")
    """
    spelt = _API_KEY.fullmatch(text)
    return None if spelt is None else ApiKey(spelt[1], text)


class RefreshToken(NamedTuple):
    """What renews a login, once: ``<login>.<secret>``."""

    login: str
    text: str


def draw_refresh_token(login: str) -> RefreshToken:
    """The next token of a login."""
    return RefreshToken(login, f"{login}.{secrets.token_urlsafe(SECRET_BYTES)}")


def parse_refresh_token(text: str) -> RefreshToken | None:
    """Read a token; the inverse of ``draw_refresh_token``."""
    spelt = _REFRESH_TOKEN.fullmatch(text)
    return None if spelt is None else RefreshToken(spelt[1], text)


def digest_of(text: str) -> bytes:
    """What is stored of a drawn secret: SHA-256 is enough for 256 random bits."""
    return hashlib.sha256(text.encode()).digest()


def is_secret(text: str, known_digest: bytes) -> bool:
    """Whether this is the text that was digested, in constant time."""
    return hmac.compare_digest(digest_of(text), known_digest)
