"""What a gateway and the centre say to each other once, before MQTT: the one-time token, and what a renewal signs."""

import base64
import hashlib
import re
import secrets
from typing import NamedTuple

from shared.errors import SpoolwatchError

ID_BYTES = 4
SECRET_BYTES = 32
RENEWAL = b"spoolwatch certificate renewal\n"
"""Comes before a DER signing request where the present key signs it, so that no such signature means anything else."""

_TOKEN = re.compile(r"swe\.([0-9a-f]{8})\.[A-Za-z0-9_-]{43}\.([A-Za-z0-9_-]{43})")


class EnrolmentTokenError(SpoolwatchError):
    """A text is no enrolment token."""


class EnrolmentToken(NamedTuple):
    """``swe.<id>.<secret>.<fingerprint>``: lets one gateway enrol, once, and tells it which centre is the right one.

    ``fingerprint`` is the SHA-256 of the DER certificate of the centre's certificate authority.
    """

    id: str
    fingerprint: bytes
    text: str


def draw_token(authority_der: bytes) -> EnrolmentToken:
    """A new token; its text is shown once and never stored.

    >>> token = draw_token(b"certificate")
    >>> parse_token(token.text) == token
    True
    """
    token_id, fingerprint = secrets.token_hex(ID_BYTES), fingerprint_of(authority_der)
    shown = base64.urlsafe_b64encode(fingerprint).decode().rstrip("=")
    return EnrolmentToken(token_id, fingerprint, f"swe.{token_id}.{secrets.token_urlsafe(SECRET_BYTES)}.{shown}")


def parse_token(text: str) -> EnrolmentToken:
    """Read a token; white space around it does not matter.

    Raises:
        EnrolmentTokenError: it is none, or not all of one.
    """
    spelt = _TOKEN.fullmatch(text.strip())
    if spelt is None:
        raise EnrolmentTokenError(
            "this is no enrolment token: one begins with 'swe.' and has four parts; copy all of what "
            "'spoolwatch-aggregator gateway add' or the API has shown"
        )
    return EnrolmentToken(spelt[1], base64.urlsafe_b64decode(spelt[2] + "="), spelt[0])


def fingerprint_of(der: bytes) -> bytes:
    """The SHA-256 of a DER certificate."""
    return hashlib.sha256(der).digest()
