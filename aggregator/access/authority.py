"""The centre's certificate authority: small, P-256, and the only one that gateways, broker and aggregators trust."""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple, cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from aggregator.signing import write_once
from shared.enrolment import RENEWAL
from shared.errors import SettingsError, SpoolwatchError

LASTS = timedelta(days=20 * 365)
SERVER_LASTS = timedelta(days=365)
CENTRE_LASTS = timedelta(days=30)
BACKDATED = timedelta(hours=1)  # gateways' clocks may be behind
ID_BYTES = 10


class SigningRequestError(SpoolwatchError):
    """A certificate cannot be made from what was sent, and why not."""


class Issued(NamedTuple):
    """A certificate that was just made: its number, the certificate in PEM, and until when it is good."""

    id: str
    pem: str
    expires_at: datetime


def user_of_gateway(gateway: str, certificate_id: str) -> str:
    """What the broker calls a client with such a certificate (its subject, RFC 4514).

    >>> user_of_gateway("gw-7", "0a1b")
    'serialNumber=0a1b,CN=gw-7'
    """
    return f"serialNumber={certificate_id},CN={gateway}"


def user_of_centre(replica: str) -> str:
    """What the broker calls an aggregator; no gateway can have such a name.

    >>> user_of_centre("a")
    'OU=centre,CN=a'
    """
    return f"OU=centre,CN={replica}"


class Authority:
    """Signs certificates with a key that never leaves it."""

    def __init__(self, key: EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key, self._certificate = key, certificate

    @classmethod
    def draw(cls, now: datetime) -> "Authority":
        """A new one, kept nowhere."""
        key = generate_private_key(SECP256R1())
        name = _name((NameOID.COMMON_NAME, "Spoolwatch centre"))
        builder = _builder(name, name, key.public_key(), secrets.token_hex(ID_BYTES), now, now + LASTS)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_key_usage(is_authority=True), critical=True)
        return cls(key, builder.sign(key, SHA256()))

    @property
    def pem(self) -> str:
        """The authority's certificate."""
        return self._certificate.public_bytes(Encoding.PEM).decode()

    @property
    def der(self) -> bytes:
        """The same, as its fingerprint is taken of."""
        return self._certificate.public_bytes(Encoding.DER)

    def with_key(self) -> bytes:
        """Key and certificate in PEM, to be kept in a file that only its owner can read."""
        return _key_pem(self._key) + self._certificate.public_bytes(Encoding.PEM)

    def sign_gateway(self, request_pem: str, gateway: str, now: datetime, lifetime: timedelta) -> Issued:
        """A client certificate for a gateway; of the request, only the key counts.

        Raises:
            SigningRequestError: the request is none, or not signed by its own key, or of another kind.
        """
        key, certificate_id = _key_of_request(request_pem), secrets.token_hex(ID_BYTES)
        name = _name((NameOID.COMMON_NAME, gateway), (NameOID.SERIAL_NUMBER, certificate_id))
        certificate = self._sign_client(name, key, certificate_id, now, lifetime)
        return Issued(certificate_id, certificate.decode(), (now + lifetime).replace(microsecond=0))

    def issue_centre(self, replica: str, now: datetime) -> bytes:
        """Key and client certificate of an aggregator, in PEM."""
        key = generate_private_key(SECP256R1())
        name = _name((NameOID.COMMON_NAME, replica), (NameOID.ORGANIZATIONAL_UNIT_NAME, "centre"))
        return _key_pem(key) + self._sign_client(name, key.public_key(), secrets.token_hex(ID_BYTES), now, CENTRE_LASTS)

    def issue_server(self, hosts: Sequence[str], now: datetime) -> tuple[bytes, bytes]:
        """Key, and certificate of a server of these names and addresses, in PEM."""
        key = generate_private_key(SECP256R1())
        name = _name((NameOID.COMMON_NAME, hosts[0][:64]))
        expires_at = now + SERVER_LASTS
        builder = _builder(
            name, self._certificate.subject, key.public_key(), secrets.token_hex(ID_BYTES), now, expires_at
        )
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(is_authority=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
        return _key_pem(key), self._signed(builder)

    def recognise(self, certificate_pem: str, request_pem: str, signature: bytes, now: datetime) -> tuple[str, str]:
        """Whose certificate it is that somebody wants renewed, who has its key: gateway and number.

        Raises:
            SigningRequestError: the certificate is not one of ours or not good now, or its key signed something else.
        """
        try:
            certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
            certificate.verify_directly_issued_by(self._certificate)
            key = cast(EllipticCurvePublicKey, certificate.public_key())
            request = x509.load_pem_x509_csr(request_pem.encode())
            key.verify(signature, RENEWAL + request.public_bytes(Encoding.DER), ECDSA(SHA256()))
            (gateway,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            (certificate_id,) = certificate.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise SigningRequestError("this is no certificate of a gateway here, or not its key has signed") from error
        if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
            raise SigningRequestError(
                f"the certificate was good until {certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}; enrol anew"
            )
        return str(gateway.value), str(certificate_id.value)

    def _sign_client(
        self, name: x509.Name, key: EllipticCurvePublicKey, certificate_id: str, now: datetime, lifetime: timedelta
    ) -> bytes:
        builder = _builder(name, self._certificate.subject, key, certificate_id, now, now + lifetime)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(is_authority=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        return self._signed(builder)

    def _signed(self, builder: x509.CertificateBuilder) -> bytes:
        public = self._key.public_key()
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        return builder.sign(self._key, SHA256()).public_bytes(Encoding.PEM)


def open_authority(path: Path, now: datetime) -> Authority:
    """Read the authority, or draw one if there is none yet.

    Raises:
        SettingsError: the file cannot be read or made, or holds something else.
    """
    try:
        if not path.exists():
            write_once(path, Authority.draw(now).with_key())
        pem = path.read_bytes()
        key, certificate = load_pem_private_key(pem, password=None), x509.load_pem_x509_certificate(pem)
    except OSError as error:
        raise SettingsError(f"ca_file {path}: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"ca_file {path} does not hold a private key and a certificate in PEM format") from error
    if not isinstance(key, EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise SettingsError(f"ca_file {path}: the certificate is not of the key beside it, or that is not of P-256")
    return Authority(key, certificate)


def _key_of_request(request_pem: str) -> EllipticCurvePublicKey:
    try:
        request = x509.load_pem_x509_csr(request_pem.encode())
        key = request.public_key()
    except ValueError as error:
        raise SigningRequestError("this is no signing request (PKCS #10) in PEM format") from error
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise SigningRequestError("the key must be of the curve P-256")
    if not request.is_signature_valid:
        raise SigningRequestError("the signing request is not signed by its own key")
    return key


def _builder(
    name: x509.Name,
    issuer: x509.Name,
    key: EllipticCurvePublicKey,
    certificate_id: str,
    now: datetime,
    expires_at: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(int(certificate_id, 16) or 1)
        .not_valid_before(now - BACKDATED)
        .not_valid_after(expires_at)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(*parts: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
