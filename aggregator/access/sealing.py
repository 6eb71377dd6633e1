"""Keeps the secrets of others that the centre has to show them: encrypted in the store, by a key that is not there."""

import base64
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.errors import SpoolwatchError

NONCE_BYTES = 12
RECEIVERS = "receivers"
"""What the key that seals the URLs of receivers is derived for."""


class SealError(SpoolwatchError):
    """What was sealed cannot be opened: by another key, or of something else."""


class Seal:
    """AES-256-GCM under one key of 32 bytes; what is sealed of one thing does not open as that of another."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def close(self, secret: bytes, of: str) -> str:
        """Seal a secret of something that ``of`` names."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, secret, of.encode())).decode()

    def open(self, sealed: str, of: str) -> bytes:
        """The inverse of ``close``.

        Raises:
            SealError: the key is another one, or it was sealed of something else.
        """
        try:
            raw = base64.b64decode(sealed)
            return self._cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], of.encode())
        except (InvalidTag, ValueError) as error:
            raise SealError(f"the secrets of {of} were kept under another key; enter them again") from error
