"""Tells what the centre has signed, by the public key that is pinned in the settings."""

import base64
from collections.abc import Callable


def verifier(centre_key: str) -> Callable[[bytes, bytes], bool]:
    """What checks a signature (first) of some bytes (second); its library is loaded only by gateways with a key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(centre_key))

    def verify(signature: bytes, signed: bytes) -> bool:
        try:
            key.verify(signature, signed)
        except InvalidSignature:
            return False
        return True

    return verify
