"""An outside issuer, run here on loopback: its tokens are taken, by the keys that it publishes."""

import asyncio
import hmac
import json
import threading
from base64 import urlsafe_b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from aggregator.access.issuer import KEYS_FRESH_S, RETRY_S, Issuer
from aggregator.access.tokens import CredentialsError
from aggregator.api.app import create_app
from aggregator.settings import IssuerSettings

URL, AUDIENCE = "https://id.example.org/realms/works", "spoolwatch"


class PublishingIssuer:
    """Signs tokens and publishes its keys; ``answer`` is what it gives instead, ``asked`` how often it was asked."""

    def __init__(self, clock):
        self.clock, self.asked, self.answer = clock, 0, None
        self.keys = [RSAKey.generate_key(2048, {"kid": "r-1"})]
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked += 1
                published = json.dumps(KeySet(issuer.keys).as_dict(private=False)).encode()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(published if issuer.answer is None else issuer.answer)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.settings = IssuerSettings(
            url=URL,
            audience=AUDIENCE,
            jwks_url=f"http://127.0.0.1:{self.server.server_port}/certs",
            name_claim="preferred_username",
            roles_claim="realm_access.roles",
        )

    def token(self, key=None, alg="RS256", header=None, **claims):
        issued = {
            "iss": URL,
            "aud": ["account", AUDIENCE],
            "exp": int(self.clock().timestamp()) + 300,
            "preferred_username": "clara",
            "realm_access": {"roles": ["engineer@hamburg", "offline_access"]},
        }
        wanted = {name: value for name, value in (issued | claims).items() if value is not None}
        key = key or self.keys[-1]
        return jwt.encode({"alg": alg, "kid": key.kid, **(header or {})}, wanted, key, algorithms=[alg])


@pytest.fixture
def publishing(clock):
    publishing = PublishingIssuer(clock)
    thread = threading.Thread(target=publishing.server.serve_forever)
    thread.start()
    yield publishing
    publishing.server.shutdown()
    thread.join()
    publishing.server.server_close()


@pytest.fixture
def seconds():
    """The issuer's own clock, to be set by the test."""
    return [0.0]


@pytest.fixture
def issuer(publishing, seconds):
    return Issuer(publishing.settings, lambda: seconds[0])


@pytest.fixture
async def ask(store, ingest, clock, issuer):
    transport = httpx.ASGITransport(create_app(store, ingest, clock, issuer=issuer), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:

        async def send(token, path="/api/v1/sessions/current"):
            return await client.get(path, headers={"Authorization": f"Bearer {token}"} if token else {})

        yield send


async def test_who_has_a_token_of_the_issuer_is_known_by_its_claims(ask, publishing):
    me = await ask(publishing.token())
    assert me.json() == {"name": f"clara of {URL}", "grants": [{"role": "engineer", "site": "hamburg"}]}
    assert (await ask(publishing.token(), "/api/v1/people")).status_code == 403


async def test_while_the_first_keys_are_fetched_only_tokens_of_the_issuer_wait(
    ask, publishing, issuer, bearer, monkeypatch
):
    go_on, fetch = threading.Event(), issuer._fetch

    def hang():
        assert go_on.wait(60)
        fetch()

    monkeypatch.setattr(issuer, "_fetch", hang)
    key = bearer("viewer@hamburg")["Authorization"].removeprefix("Bearer ")
    asking = [asyncio.create_task(ask(publishing.token(jti=str(number)))) for number in range(40)]
    try:
        await asyncio.sleep(0)
        async with asyncio.timeout(20):
            assert (await ask(key)).status_code == 200
        assert not any(one.done() for one in asking)
    finally:
        go_on.set()
        answers = await asyncio.gather(*asking)
    assert {answer.status_code for answer in answers} == {200}


async def test_with_an_issuer_nobody_is_let_in_without_a_token(ask):
    assert (await ask(None)).status_code == 401


async def test_a_token_is_good_until_it_expires_and_a_little_longer(ask, publishing, clock):
    token = publishing.token()
    clock.advance(300 + 29)
    assert (await ask(token)).status_code == 200
    clock.advance(2)
    assert (await ask(token)).status_code == 401


def spelt(part):
    return urlsafe_b64encode(part).decode().rstrip("=")


def wrong(publishing):
    foreign = RSAKey.generate_key(2048, {"kid": "r-1"})
    shared = OctKey.import_key({"kty": "oct", "k": publishing.keys[0].as_dict(private=False)["n"], "kid": "r-1"})
    brought = {"jwk": foreign.as_dict(private=False), "jku": "https://evil.example/certs"}
    token = publishing.token
    _, claims, signature = token().split(".")
    header, unsigned, shared_header = (
        spelt(b'{"alg": "%s", "kid": "r-1"%s}' % parts)
        for parts in ((b"RS256", b', "crit": 1'), (b"none", b""), (b"HS256", b""))
    )
    by_pem = hmac.digest(publishing.keys[0].as_pem(private=False), f"{shared_header}.{claims}".encode(), "sha256")
    return {
        "a header that cannot be": f"{header}.{claims}.{signature}",
        "another issuer": token(iss="https://other.example.org"),
        "another audience": token(aud="account"),
        "no audience": token(aud=None),
        "no end": token(exp=None),
        "an endless end": token(exp=1e300),
        "not yet": token(nbf=int(publishing.clock().timestamp()) + 300),
        "no name": token(preferred_username=None),
        "a name that is none": token(preferred_username=["clara"]),
        "another key of the same id": token(foreign),
        "a key of its own": token(foreign, header=brought),
        "its public key as a shared secret": token(shared, "HS256"),
        "its public key in PEM as a shared secret": f"{shared_header}.{claims}.{spelt(by_pem)}",
        "unsigned": f"{unsigned}.{claims}.",
        "unsigned, with a signature": f"{unsigned}.{claims}.{signature}",
    }


async def test_p8_what_the_issuer_did_not_issue_for_us_is_refused(ask, publishing):
    answers = {how: (await ask(token)).status_code for how, token in wrong(publishing).items()}
    assert answers == dict.fromkeys(answers, 401)


async def test_a_new_key_of_the_issuer_is_fetched_when_a_token_names_it(ask, publishing, seconds):
    assert (await ask(publishing.token())).status_code == 200
    publishing.keys.append(ECKey.generate_key("P-256", {"kid": "e-2"}))
    token = publishing.token(alg="ES256")
    assert (await ask(token)).status_code == 401
    seconds[0] += RETRY_S
    assert (await ask(token)).status_code == 200
    assert publishing.asked == 2


def test_a_key_that_is_withdrawn_is_good_no_longer(issuer, publishing, seconds, clock):
    token = publishing.token()
    assert issuer.read(token, clock())[0].name == f"clara of {URL}"
    publishing.keys = [RSAKey.generate_key(2048, {"kid": "r-2"})]
    seconds[0] += KEYS_FRESH_S
    with pytest.raises(CredentialsError, match="not valid"):
        issuer.read(token, clock())


def test_tokens_with_unknown_keys_do_not_make_us_ask_again_and_again(issuer, publishing, clock):
    for number in range(5):
        with pytest.raises(CredentialsError):
            issuer.read(publishing.token(RSAKey.generate_key(2048, {"kid": f"x-{number}"})), clock())
    assert publishing.asked == 1


def test_key_ids_that_are_made_up_are_asked_for_less_and_less_often(issuer, publishing, clock, seconds):
    stranger = publishing.token(RSAKey.generate_key(2048, {"kid": "made-up"}))
    issuer.read(publishing.token(), clock())
    for _ in range(3600):
        seconds[0] += 1
        with pytest.raises(CredentialsError):
            issuer.read(stranger, clock())
    assert publishing.asked < 12
    publishing.keys.append(RSAKey.generate_key(2048, {"kid": "r-2"}))
    seconds[0] += KEYS_FRESH_S
    assert issuer.read(publishing.token(), clock())[0].name == f"clara of {URL}"
    publishing.keys.append(RSAKey.generate_key(2048, {"kid": "r-3"}))
    seconds[0] += RETRY_S  # what was made up before is forgotten with the first key that is new
    assert issuer.read(publishing.token(), clock())


@pytest.mark.parametrize("answer", [b"", b"no JSON", b"[]", b"{}", b'{"keys": [{"kty": "?"}]}', b'{"keys": [1]}'])
def test_an_issuer_that_publishes_no_keys_lets_nobody_in(issuer, publishing, clock, answer):
    publishing.answer = answer
    with pytest.raises(CredentialsError):
        issuer.read(publishing.token(), clock())


def test_keys_that_are_known_outlast_an_issuer_that_is_away(issuer, publishing, clock, seconds):
    issuer.read(publishing.token(), clock())
    publishing.answer = b"503"
    seconds[0] += KEYS_FRESH_S
    assert issuer.read(publishing.token(), clock())[0].name == f"clara of {URL}"
    assert publishing.asked == 2


def test_while_the_keys_are_fetched_anew_others_go_on_with_the_old_ones(
    issuer, publishing, clock, seconds, monkeypatch
):
    token = publishing.token()
    issuer.read(token, clock())
    fetching, go_on = threading.Event(), threading.Event()

    def fetch():
        fetching.set()
        assert go_on.wait(60)

    monkeypatch.setattr(issuer, "_fetch", fetch)
    seconds[0] += KEYS_FRESH_S
    slow = threading.Thread(target=issuer.read, args=(token, clock()))
    slow.start()
    other = threading.Thread(target=issuer.read, args=(token, clock()))
    try:
        assert fetching.wait(60)
        seconds[0] += KEYS_FRESH_S
        other.start()
        other.join(20)
        assert not other.is_alive()
    finally:
        go_on.set()
        slow.join()
        other.join()
