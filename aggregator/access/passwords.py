"""Passwords: hashed by argon2id, checked with the same work whether or not there is such a person."""

import secrets
from functools import cache

from pwdlib import PasswordHash
from pwdlib.exceptions import PwdlibError
from pwdlib.hashers.argon2 import Argon2Hasher

MIN_LENGTH = 12
MAX_LENGTH = 200
DRAWN_BYTES = 15

_HASHER = PasswordHash((Argon2Hasher(),))


def hash_password(password: str) -> str:
    """Hash a password with a salt of its own; takes some 50 ms and 64 MiB."""
    return _HASHER.hash(password)


def is_password(password: str, known_hash: str | None) -> bool:
    """Whether a password is the one that was hashed; without a hash the same work is done, and it is not."""
    nobodys = _nobodys_hash()  # whoever it is, so that the first check of a process takes no longer for an unknown name
    try:
        matches = _HASHER.verify(password, known_hash or nobodys)
    except PwdlibError:  # a hash that this program did not write
        return False
    return matches and known_hash is not None


@cache
def _nobodys_hash() -> str:
    """The hash of a password that nobody knows: what an unknown name is checked against."""
    return _HASHER.hash(secrets.token_urlsafe())


def draw_password() -> str:
    """A random password of 20 characters."""
    return secrets.token_urlsafe(DRAWN_BYTES)
