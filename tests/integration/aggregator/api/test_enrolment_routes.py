"""Enrolment over the API: what a person makes, and what a gateway gets for it."""

from base64 import b64encode
from datetime import timedelta

import httpx
import pytest
from cryptography import x509

from aggregator.api.app import create_app
from edge_agent.identity import Identity, NewKey
from shared.enrolment import fingerprint_of, parse_token


@pytest.fixture
def invite(client, recorder):
    recorder.register("E-1")

    async def make(headers=None):
        return await client.post("/api/v1/gateways/gw-1/enrolment-tokens", headers=headers)

    return make


@pytest.fixture
def enrol(client, invite):
    """Enrol gw-1; its key, and what it got."""

    async def make():
        key = NewKey()
        token = (await invite()).json()["token"]
        body = {"token": token, "signing_request": key.request_pem}
        answer = await client.post("/api/v1/enrolment", json=body)
        assert answer.status_code == 201, answer.text
        return key, answer.json()

    return make


def renewal(key, certificate):
    young = NewKey()
    signature = Identity(key._key, None).sign_renewal(young.request_der)
    body = {"certificate": certificate, "signing_request": young.request_pem}
    return young, body | {"signature": b64encode(signature).decode()}


async def test_a_gateway_gets_a_certificate_and_what_it_needs_to_know(client, enrol, authority):
    _, got = await enrol()
    certificate = x509.load_pem_x509_certificate(got.pop("certificate").encode())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.pem.encode()))
    assert got == {
        "gateway": "gw-1",
        "site": "hamburg",
        "engines": ["E-1"],
        "expires_at": "2027-02-19T12:00:00Z",
        "broker": {"host": "mqtt.example.org", "port": 8883, "transport": "tcp", "path": "/mqtt"},
        "centre_key": "k" * 43 + "=",
    }


async def test_the_token_names_the_authority_that_anybody_may_read(client, invite, authority):
    token = parse_token((await invite()).json()["token"])
    shown = (await client.get("/api/v1/enrolment/authority")).json()["certificate"]
    assert shown == authority.pem
    assert fingerprint_of(authority.der) == token.fingerprint


async def test_a_token_is_shown_once_and_good_once(client, enrol, invite):
    made = await invite()
    assert (made.headers["cache-control"], made.json()["expires_at"]) == ("no-store", "2026-11-22T12:00:00Z")
    body = {"token": made.json()["token"], "signing_request": NewKey().request_pem}
    assert (await client.post("/api/v1/enrolment", json=body)).status_code == 201
    again = await client.post("/api/v1/enrolment", json=body)
    assert (again.status_code, "was used already" in again.json()["detail"]) == (401, True)


async def test_a_certificate_is_exchanged_for_a_younger_one(client, enrol, clock):
    key, got = await enrol()
    clock.advance(timedelta(days=60).total_seconds())
    young, body = renewal(key, got["certificate"])
    renewed = await client.post("/api/v1/enrolment/renewals", json=body)
    assert (renewed.status_code, renewed.json()["expires_at"]) == (201, "2027-04-20T12:00:00Z")
    young.with_certificate(renewed.json()["certificate"])
    shown = (await client.get("/api/v1/gateways/gw-1/certificates")).json()
    assert [(one["issued_at"], one["expires_at"]) for one in shown] == [
        ("2027-01-20T12:00:00Z", "2027-04-20T12:00:00Z"),
        ("2026-11-21T12:00:00Z", "2027-02-19T12:00:00Z"),
    ]
    await client.delete("/api/v1/gateways/gw-1/certificates")
    assert (await client.get("/api/v1/gateways/gw-1/certificates")).json() == []
    refused = await client.post("/api/v1/enrolment/renewals", json=body)
    assert (refused.status_code, "revoked" in refused.json()["detail"]) == (401, True)


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"token": "swe.nonsense"}, 401),
        ({"signing_request": "nothing"}, 422),
        ({"signing_request": "x" * 8193}, 422),
        ({"gateway": "gw-2"}, 422),
    ],
)
async def test_what_is_wrong_is_told_and_the_token_stays_good(client, invite, wrong, status):
    good = {"token": (await invite()).json()["token"], "signing_request": NewKey().request_pem}
    assert (await client.post("/api/v1/enrolment", json=good | wrong)).status_code == status
    assert (await client.post("/api/v1/enrolment", json=good)).status_code == 201


async def test_p8_over_a_network_nothing_is_taken_in_the_clear(app, client, invite):
    body = {"token": (await invite()).json()["token"], "signing_request": NewKey().request_pem}
    afar = httpx.ASGITransport(app, client=("192.0.2.7", 1234))
    for scheme, status in (("http", 403), ("https", 201)):
        async with httpx.AsyncClient(transport=afar, base_url=f"{scheme}://centre.example.org") as gateway:
            answer = await gateway.post("/api/v1/enrolment", json=body)
            assert answer.status_code == status, answer.text


async def test_who_tries_tokens_is_slowed_down(client):
    body = {"token": "swe.nonsense", "signing_request": ""}
    answers = [(await client.post("/api/v1/enrolment", json=body)).status_code for _ in range(61)]
    assert answers == [401] * 60 + [429]


async def test_where_the_broker_asks_for_no_certificates_there_is_nothing_to_enrol_for(store, ingest, clock, recorder):
    recorder.register("E-1")
    transport = httpx.ASGITransport(create_app(store, ingest, clock))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        answer = await client.post("/api/v1/gateways/gw-1/enrolment-tokens")
    assert (answer.status_code, "set broker.kind = external" in answer.json()["detail"]) == (409, True)


async def test_a_gateway_that_nobody_registered_is_not_found(client):
    assert (await client.post("/api/v1/gateways/gw-9/enrolment-tokens")).status_code == 404
    assert (await client.delete("/api/v1/gateways/gw-9/certificates")).status_code == 404
