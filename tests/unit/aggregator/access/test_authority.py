from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from aggregator.access.authority import Authority, SigningRequestError, open_authority, user_of_gateway
from edge_agent.identity import Identity, NewKey
from shared.errors import SettingsError

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LIFETIME = timedelta(days=90)


@pytest.fixture(scope="module")
def authority():
    return Authority.draw(NOW)


def request(key, name="", algorithm=None):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("centre")]), critical=False)
    return builder.sign(key, algorithm).public_bytes(Encoding.PEM).decode()


def renewal(authority, *, now=NOW, signer=None, asked=None):
    """A gateway's certificate, and whom the authority sees who sends it to have it renewed."""
    present, young = NewKey(), NewKey()
    issued = authority.sign_gateway(present.request_pem, "gw-1", NOW, LIFETIME)
    signature = Identity((signer or present)._key, None).sign_renewal(young.request_der)
    return issued, authority.recognise(issued.pem, asked or young.request_pem, signature, now)


def test_p8_of_a_request_only_the_key_counts(authority):
    key = ec.generate_private_key(ec.SECP256R1())
    issued = authority.sign_gateway(request(key, "gw-of-somebody-else", SHA256()), "gw-1", NOW, LIFETIME)
    certificate = x509.load_pem_x509_certificate(issued.pem.encode())
    names = [(one.oid, one.value) for one in certificate.subject]
    assert names == [(NameOID.COMMON_NAME, "gw-1"), (NameOID.SERIAL_NUMBER, issued.id)]
    assert certificate.public_key() == key.public_key()
    assert certificate.not_valid_after_utc == issued.expires_at == NOW + LIFETIME
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)


def test_no_two_certificates_are_one_user(authority):
    key = NewKey()
    users = {
        user_of_gateway("gw-1", authority.sign_gateway(key.request_pem, "gw-1", NOW, LIFETIME).id) for _ in range(3)
    }
    assert len(users) == 3


def test_a_request_that_its_key_did_not_sign_is_refused(authority):
    mine, stolen = NewKey(), NewKey()
    der = bytearray(mine.request_der)
    begin = bytes(der).find(_point(mine))
    der[begin : begin + 65] = _point(stolen)
    forged = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM).decode()
    with pytest.raises(SigningRequestError, match="not signed by its own key"):
        authority.sign_gateway(forged, "gw-1", NOW, LIFETIME)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        request(ed25519.Ed25519PrivateKey.generate()),
        request(ec.generate_private_key(ec.SECP384R1()), "", SHA256()),
    ],
)
def test_what_is_no_request_of_a_p256_key_is_refused(authority, wrong):
    with pytest.raises(SigningRequestError):
        authority.sign_gateway(wrong, "gw-1", NOW, LIFETIME)


def test_a_certificate_is_renewed_for_who_has_its_key(authority):
    issued, known = renewal(authority)
    assert known == ("gw-1", issued.id)


def test_p8_a_certificate_is_not_renewed_for_who_only_has_seen_it(authority):
    with pytest.raises(SigningRequestError, match="not its key"):
        renewal(authority, signer=NewKey())
    with pytest.raises(SigningRequestError, match="not its key"):
        renewal(authority, asked=NewKey().request_pem)  # a signature that was overheard, for another's key


def test_p8_a_certificate_of_another_authority_is_not_renewed(authority):
    other = Authority.draw(NOW)
    present, young = NewKey(), NewKey()
    issued = other.sign_gateway(present.request_pem, "gw-1", NOW, LIFETIME)
    signature = Identity(present._key, None).sign_renewal(young.request_der)
    with pytest.raises(SigningRequestError, match="no certificate of a gateway here"):
        authority.recognise(issued.pem, young.request_pem, signature, NOW)


def test_p8_a_server_is_no_gateway(authority):
    key_pem, certificate_pem = authority.issue_server(["gw-1"], NOW)
    young = NewKey()
    signature = Identity(load_pem_private_key(key_pem, None), None).sign_renewal(young.request_der)
    with pytest.raises(SigningRequestError, match="no certificate of a gateway here"):
        authority.recognise(certificate_pem.decode(), young.request_pem, signature, NOW)


@pytest.mark.parametrize("late", [LIFETIME, LIFETIME + timedelta(days=1), -timedelta(hours=2)])
def test_a_certificate_that_is_not_good_now_is_not_renewed(authority, late):
    with pytest.raises(SigningRequestError, match="enrol anew"):
        renewal(authority, now=NOW + late)


def test_two_replicas_have_one_authority(tmp_path):
    file = tmp_path / "keys" / "ca.pem"
    assert open_authority(file, NOW).pem == open_authority(file, NOW + timedelta(days=1)).pem
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_that_holds_something_else_is_told(tmp_path, authority):
    file = tmp_path / "ca.pem"
    file.write_text("nothing")
    with pytest.raises(SettingsError, match="does not hold a private key"):
        open_authority(file, NOW)
    key, _ = authority.issue_server(["centre"], NOW)
    file.write_bytes(key + authority.pem.encode())
    with pytest.raises(SettingsError, match="not of the key beside it"):
        open_authority(file, NOW)


def _point(key):
    return key._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
