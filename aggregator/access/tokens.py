"""The centre's own tokens (RFC 7519): signed by a key of its own, short-lived, good for one purpose."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from aggregator.signing import open_private_key
from shared.errors import SpoolwatchError

Purpose = Literal["api", "pages"]

ISSUER = "spoolwatch"
ALGORITHM = "Ed25519"
MALFORMED = (JoseError, ValueError, OverflowError, TypeError, KeyError, AttributeError)
"""What decoding raises for a text that is no good token, such as one whose header has a number for a list of names."""


class CredentialsError(SpoolwatchError):
    """What somebody showed does not say who they are, or no longer does."""


class Token(NamedTuple):
    """What one of our tokens says: which login it stands for, and until when."""

    login: str
    expires_at: datetime


class TokenKey:
    """Signs tokens, and reads those that it signed."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = OKPKey.import_key(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self._raw = key.private_bytes_raw()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the key from its file, or draw one if there is none yet.

        Raises:
            SettingsError: the file cannot be read or made, or holds something else.
        """
        return cls(open_private_key(path, "token_key_file"))

    @classmethod
    def draw(cls) -> Self:
        """Make a key that is kept nowhere."""
        return cls(Ed25519PrivateKey.generate())

    def derive(self, purpose: str) -> bytes:
        """A secret of 32 bytes for something else than tokens (HKDF, RFC 5869): the same wherever this key is."""
        return HKDF(SHA256(), length=32, salt=None, info=purpose.encode()).derive(self._raw)

    def issue(self, login: str, purpose: Purpose, now: datetime, lifetime_s: int) -> str:
        """Sign a token that stands for a login."""
        claims = {
            "iss": ISSUER,
            "aud": purpose,
            "sid": login,
            "iat": now,
            "exp": now + timedelta(seconds=lifetime_s),
        }
        return jwt.encode({"alg": ALGORITHM}, claims, self._key, algorithms=[ALGORITHM])

    def read(self, text: str, purpose: Purpose, now: datetime) -> Token:
        """Read a token that was issued for this purpose.

        Raises:
            CredentialsError: it is forged, of another purpose, or over.
        """
        expected = jwt.JWTClaimsRegistry(
            now=int(now.timestamp()),
            iss={"essential": True, "value": ISSUER},
            aud={"essential": True, "value": purpose},
            sid={"essential": True},
            exp={"essential": True},
        )
        try:
            claims = jwt.decode(text, self._key, algorithms=[ALGORITHM]).claims
            expected.validate(claims)
        except MALFORMED as error:
            raise CredentialsError(f"the token is not valid: {error}") from error
        return Token(str(claims["sid"]), datetime.fromtimestamp(claims["exp"], UTC))
