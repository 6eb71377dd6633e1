"""A POST with an Idempotency-Key is done once, whichever replica it is sent to."""

import asyncio

import httpx
import pytest
from sqlalchemy import event

from aggregator.api.app import create_app

PATH = "/api/v1/gateways"
GATEWAY = {"name": "gw-1", "site": "hamburg"}
KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


@pytest.fixture
def done(store):
    """Every row that was written to the audit log."""
    seen = []

    def see(connection, cursor, statement, *_):
        if statement.startswith("INSERT INTO audit_entry"):
            seen.append(statement)

    event.listen(store.engine, "before_cursor_execute", see)
    return seen


async def test_sent_again_it_is_answered_as_before_and_not_done(client, done):
    first = await client.post(PATH, json=GATEWAY, headers=KEY)
    again = await client.post(PATH, json=GATEWAY, headers={"Idempotency-Key": f'"{KEY["Idempotency-Key"]}"'})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    of_each_request = {"x-request-id", "traceresponse"}
    kept = {name: value for name, value in first.headers.items() if name not in of_each_request}
    assert kept.items() <= again.headers.items()
    assert first.headers["x-request-id"] != again.headers["x-request-id"]
    assert len(done) == 1
    assert (await client.post(PATH, json=GATEWAY)).status_code == 200


async def test_another_replica_knows_the_answer(client, store, ingest, clock):
    await client.post(PATH, json=GATEWAY, headers=KEY)
    transport = httpx.ASGITransport(create_app(store, ingest, clock))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as other:
        assert (await other.post(PATH, json=GATEWAY, headers=KEY)).status_code == 201


@pytest.mark.parametrize(
    ("path", "json"), [(PATH, GATEWAY | {"name": "gw-2"}), ("/api/v1/engines", GATEWAY), (f"{PATH}?x=1", GATEWAY)]
)
async def test_another_request_with_the_same_key_is_refused(client, path, json):
    await client.post(PATH, json=GATEWAY, headers=KEY)
    refused = await client.post(path, json=json, headers=KEY)
    assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")
    assert "another request" in refused.json()["detail"]


async def test_of_requests_at_once_one_is_done(client, done):
    answers = await asyncio.gather(*(client.post(PATH, json=GATEWAY, headers=KEY) for _ in range(5)))
    codes = {answer.status_code for answer in answers}
    assert 201 in codes
    assert codes <= {201, 409}
    assert len(done) == 1


async def test_what_began_and_was_never_answered_is_not_done_again(client, done, store):
    await client.post(PATH, json=GATEWAY, headers=KEY)
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE keyed_request SET status = NULL, headers = NULL, body = NULL")
    refused = await client.post(PATH, json=GATEWAY, headers=KEY)
    assert (refused.status_code, refused.headers["retry-after"]) == (409, "1")
    assert "look whether it was done" in refused.json()["detail"]
    assert len(done) == 1


async def test_what_failed_may_be_tried_again(client, recorder):
    engine = {"serial": "E-1", "site": "hamburg", "gateway": "gw-1", "position": "left"}
    recorder.register("E-9", gateway="gw-1", site="bremen")
    assert (await client.post("/api/v1/engines", json=engine, headers=KEY)).status_code == 409
    assert (await client.post("/api/v1/engines", json=engine | {"gateway": "gw-2"}, headers=KEY)).status_code == 201


async def test_p8_a_key_is_its_callers_own_and_shows_nothing_to_others(client, bearer):
    anna, zoe = bearer("engineer@hamburg"), bearer("engineer@hamburg")
    assert (await client.post(PATH, json=GATEWAY, headers=KEY | anna)).status_code == 201
    assert (await client.post(PATH, json=GATEWAY, headers=KEY | zoe)).status_code == 200
    assert (await client.post(PATH, json=GATEWAY, headers=KEY)).status_code == 401
    assert (await client.post(PATH, json=GATEWAY, headers=KEY | anna)).status_code == 201


async def test_p8_a_secret_is_not_kept_and_not_made_twice(client, store, logged_in):
    headers = KEY | logged_in()
    wish = {"purpose": "test", "role": "viewer", "sites": ["hamburg"], "expires_in_days": 1}
    secret = (await client.post("/api/v1/api-keys", json=wish, headers=headers)).json()["key"]
    again = await client.post("/api/v1/api-keys", json=wish, headers=headers)
    assert (again.status_code, secret in again.text) == (409, False)
    assert "held a secret" in again.json()["detail"]
    with store.engine.connect() as connection:
        (kept,) = connection.exec_driver_sql("SELECT status, headers, body FROM keyed_request").all()
    assert kept == (201, None, None)


async def test_a_body_that_is_too_long_or_no_json_is_refused_as_ever(client):
    assert (await client.post(PATH, content=b"x" * 2_000_000, headers=KEY)).status_code == 413
    json = {"content-type": "application/json"}
    assert (await client.post(PATH, content=b"{", headers=KEY | json)).status_code == 422
    assert (await client.post(PATH, json=GATEWAY, headers=KEY)).status_code == 201


@pytest.mark.parametrize("key", ["", " ", '"', "x" * 201, "a b"])
async def test_what_is_no_key_is_refused(client, key):
    assert (await client.post(PATH, json=GATEWAY, headers={"Idempotency-Key": key})).status_code == 422


async def test_every_post_that_takes_a_caller_takes_a_key(app):
    paths = app.openapi()["paths"]
    posts = [path["post"] for path in paths.values() if "security" in path.get("post", {})]
    assert len(posts) > 5
    for post in posts:
        assert "Idempotency-Key" in [parameter["name"] for parameter in post["parameters"]]
        assert {"409", "422"} <= post["responses"].keys()
