"""Who this gateway is to the broker: a key that never leaves the box, and the certificate that the centre gave for it.

Key and certificate are one file, so that a renewal replaces both in one step.
"""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from shared.enrolment import RENEWAL
from shared.errors import SpoolwatchError

LIFETIME_USED = 2 / 3
"""After how much of a certificate's lifetime it is due to be renewed."""


class IdentityError(SpoolwatchError):
    """A file of ours does not hold a key and its certificate."""


class NewKey:
    """A P-256 key that was just drawn and is in no file yet."""

    def __init__(self) -> None:
        self._key = generate_private_key(SECP256R1())
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(self._key, SHA256())
        self.request_pem = request.public_bytes(Encoding.PEM).decode()
        self.request_der = request.public_bytes(Encoding.DER)

    def with_certificate(self, certificate_pem: str) -> bytes:
        """The file's content.

        Raises:
            IdentityError: the certificate is not of this key.
        """
        certificate = _certificate(certificate_pem.encode(), "what the centre sent")
        if certificate.public_key() != self._key.public_key():
            raise IdentityError("the centre sent a certificate for another key; nothing was written")
        pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return pem + certificate.public_bytes(Encoding.PEM)


@dataclass(frozen=True, slots=True)
class Identity:
    """The key and certificate of a file."""

    key: EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def expires_at(self) -> datetime:
        """Until when it is good."""
        return self.certificate.not_valid_after_utc

    @property
    def renewal_at(self) -> datetime:
        """From when on it is to be renewed."""
        began_at = self.certificate.not_valid_before_utc
        return began_at + (self.expires_at - began_at) * LIFETIME_USED

    @property
    def pem(self) -> str:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def sign_renewal(self, request_der: bytes) -> bytes:
        """Say by the present key that another is to take its place."""
        return self.key.sign(RENEWAL + request_der, ECDSA(SHA256()))


def read_identity(path: Path, key_file: Path | None = None) -> Identity:
    """Read a certificate and its key.

    Raises:
        IdentityError: the files cannot be read or hold something else.
    """
    try:
        pem = path.read_bytes()
        key = load_pem_private_key(pem if key_file is None else key_file.read_bytes(), password=None)
    except OSError as error:
        raise IdentityError(f"{error.filename}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise IdentityError(f"{key_file or path} holds no private key in PEM format") from error
    if not isinstance(key, EllipticCurvePrivateKey):
        raise IdentityError(f"{key_file or path} holds a key of another kind; renewal takes one of P-256")
    return Identity(key, _certificate(pem, str(path)))


def read_expiry(path: Path) -> datetime:
    """Until when the certificate in a file is good.

    Raises:
        IdentityError: the file cannot be read or holds none.
    """
    try:
        return _certificate(path.read_bytes(), str(path)).not_valid_after_utc
    except OSError as error:
        raise IdentityError(f"{path}: {error.strerror}") from error


def write_secret(path: Path, content: bytes) -> None:
    """Replace a file that only its owner reads, in one step that a power cut does or does not, but never half.

    Raises:
        OSError: it cannot be written.
    """
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make durable which files a folder has."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _certificate(pem: bytes, where: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise IdentityError(f"{where} holds no certificate in PEM format") from error
