"""The centre's own tokens: forged, expired and misused ones are refused."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from aggregator.access.tokens import CredentialsError, TokenKey
from shared.errors import SettingsError

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def key():
    return TokenKey.draw()


def test_a_token_says_its_login_and_until_when(key):
    token = key.read(key.issue("l-1", "api", NOW, 900), "api", NOW)
    assert token == ("l-1", NOW + timedelta(seconds=900))


def spelt(header, claims):
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)]
    return f"{parts[0]}.{parts[1]}."


def forged(key):
    claims = {"iss": "spoolwatch", "aud": "api", "sid": "l-1", "exp": NOW.timestamp() + 900}
    public = OctKey.import_key({"kty": "oct", "k": key._key.as_dict(private=False)["x"]})
    genuine = key.issue("l-1", "api", NOW, 900)
    return {
        "alg none": spelt({"alg": "none", "typ": "JWT"}, claims),
        "another key": TokenKey.draw().issue("l-1", "api", NOW, 900),
        "the public key as a shared secret": jwt.encode({"alg": "HS256"}, claims, public, algorithms=["HS256"]),
        "claims of another": ".".join([genuine.split(".")[0], spelt({}, claims).split(".")[1], genuine.split(".")[2]]),
        "another issuer": jwt.encode({"alg": "Ed25519"}, claims | {"iss": "x"}, key._key, algorithms=["Ed25519"]),
        "no end": jwt.encode({"alg": "Ed25519"}, {**claims, "exp": None}, key._key, algorithms=["Ed25519"]),
        "of the pages": key.issue("l-1", "pages", NOW, 900),
        "over": key.issue("l-1", "api", NOW - timedelta(seconds=900), 900),
        "of tomorrow": key.issue("l-1", "api", NOW + timedelta(days=1), 900),
        "no token": "é.b.c",
        "nothing": "",
        "long": "a" * 100_000,
    }


@pytest.mark.parametrize("how", sorted(forged(TokenKey.draw())))
def test_p8_what_was_not_issued_for_this_is_refused(key, how):
    with pytest.raises(CredentialsError, match="the token is not valid"):
        key.read(forged(key)[how], "api", NOW)


def test_the_key_is_kept_in_a_file_of_its_owners(tmp_path):
    path = tmp_path / "state" / "token.key"
    token = TokenKey.open(path).issue("l-1", "api", NOW, 900)
    assert TokenKey.open(path).read(token, "api", NOW).login == "l-1"
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("no key")
    with pytest.raises(SettingsError, match=r"token_key_file .* holds no private key"):
        TokenKey.open(path)


def test_a_secret_is_the_keys_own_and_of_one_purpose(tmp_path):
    key = TokenKey.open(tmp_path / "token.key")
    secret = key.derive("a")
    assert secret == TokenKey.open(tmp_path / "token.key").derive("a")
    assert len({secret, key.derive("b"), TokenKey.draw().derive("a")}) == 3
    assert len(secret) == 32
