"""A POST with an Idempotency-Key is done once, whichever replica it is sent to."""

import asyncio
from threading import Event

import httpx
import pytest
from fastapi import HTTPException
from sqlalchemy import event

from aggregator.access.roles import THIS_MACHINE, Grant, Role
from aggregator.access.tokens import TokenKey
from aggregator.api.app import create_app
from aggregator.api.routes import gateways
from aggregator.settings import ApiSettings
from aggregator.store.people import PersonChange, change_person

PATH = "/api/v1/gateways"
GATEWAY = {"name": "gw-1", "site": "hamburg"}
KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


@pytest.fixture
def inserted(store):
    """The rows that were written to a table, one statement each."""
    seen = []

    def see(connection, cursor, statement, *_):
        seen.append(statement)

    event.listen(store.engine, "before_cursor_execute", see)
    return lambda table: [statement for statement in seen if statement.startswith(f"INSERT INTO {table} ")]


@pytest.fixture
def done(inserted):
    """Counts what was done, each of which is written to the audit log."""
    return lambda: len(inserted("audit_entry"))


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
    assert done() == 1
    assert (await client.post(PATH, json=GATEWAY)).status_code == 200


async def test_another_replica_knows_the_answer(client, store, ingest, clock, token_key):
    await client.post(PATH, json=GATEWAY, headers=KEY)
    transport = httpx.ASGITransport(create_app(store, ingest, clock, key=token_key))
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
    assert done() == 1


async def test_what_began_and_was_never_answered_is_not_done_again(client, done, store):
    await client.post(PATH, json=GATEWAY, headers=KEY)
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE keyed_request SET status = NULL, headers = NULL, body = NULL")
    refused = await client.post(PATH, json=GATEWAY, headers=KEY)
    assert (refused.status_code, refused.headers["retry-after"]) == (409, "1")
    assert "look whether it was done" in refused.json()["detail"]
    assert done() == 1


async def test_what_was_stopped_meanwhile_is_not_done_again(client, done, monkeypatch):
    """A route's thread goes on when the program that waits for it is stopped."""
    begun, go_on, ended = Event(), Event(), Event()
    register = gateways.register_gateway

    def register_slowly(*args, **kwargs):
        begun.set()
        go_on.wait(60)
        try:
            return register(*args, **kwargs)
        finally:
            ended.set()

    monkeypatch.setattr(gateways, "register_gateway", register_slowly)
    stopped = asyncio.create_task(client.post(PATH, json=GATEWAY, headers=KEY))
    assert await asyncio.to_thread(begun.wait, 60)
    stopped.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopped
    go_on.set()
    assert (await client.post(PATH, json=GATEWAY, headers=KEY)).status_code == 409
    assert await asyncio.to_thread(ended.wait, 60)
    assert done() == 1


async def test_what_failed_after_it_was_done_is_not_done_again(client, done, monkeypatch):
    monkeypatch.setattr(gateways, "find_gateway", lambda *_: None)
    assert (await client.post(PATH, json=GATEWAY, headers=KEY)).status_code == 500
    refused = await client.post(PATH, json=GATEWAY, headers=KEY)
    assert (refused.status_code, "its aggregator failed" in refused.json()["detail"]) == (409, True)
    assert done() == 1


async def test_what_is_not_possible_now_may_be_tried_again(client, done, monkeypatch):
    def refuse(*_, **__):
        raise HTTPException(503, "Not now.", {"Retry-After": "1"})

    with monkeypatch.context() as patched:
        patched.setattr(gateways, "register_gateway", refuse)
        assert (await client.post(PATH, json=GATEWAY, headers=KEY)).status_code == 503
    assert (await client.post(PATH, json=GATEWAY, headers=KEY)).status_code == 201
    assert done() == 1


async def test_what_was_refused_may_be_tried_again(client, recorder):
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


async def test_p8_what_is_kept_of_a_request_cannot_be_made_without_the_token_key(client, store, ingest, clock):
    """Whoever reads the store could try passwords against a digest that anybody can make of a body."""
    await client.post(PATH, json=GATEWAY, headers=KEY)
    transport = httpx.ASGITransport(create_app(store, ingest, clock, key=TokenKey.draw()))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as other:
        assert (await other.post(PATH, json=GATEWAY, headers=KEY)).status_code == 422


@pytest.mark.parametrize("path", ["/api/v1/sessions", "/api/v1/sessions/refresh", "/api/v1/nowhere"])
async def test_p8_of_what_takes_nobody_in_particular_nothing_is_noted(client, inserted, bearer, path):
    json = {"name": "anna", "password": "correct horse battery", "refresh_token": "x"}
    assert (await client.post(path, json=json, headers=KEY | bearer())).status_code in (401, 404, 422)
    assert inserted("keyed_request") == []


@pytest.mark.parametrize(("path", "json"), [(PATH, GATEWAY), ("/api/v1/people", {}), ("/api/v1/api-keys", {})])
async def test_of_who_may_not_ask_nothing_is_noted(client, inserted, bearer, path, json):
    assert (await client.post(path, json=json, headers=KEY | bearer("viewer@hamburg"))).status_code == 403
    assert inserted("keyed_request") == []


async def test_who_may_no_longer_ask_is_not_given_the_kept_answer(client, store, clock, secured, logged_in):
    zoe = logged_in("engineer@hamburg")
    assert (await client.post(PATH, json=GATEWAY, headers=KEY | zoe)).status_code == 201
    viewer = PersonChange(grants=(Grant(Role.VIEWER, "hamburg"),))
    change_person(store, "zoe0", viewer, THIS_MACHINE, clock())
    clock.advance(3)
    assert (await client.post(PATH, json=GATEWAY, headers=KEY | zoe)).status_code == 403


async def test_p8_who_may_act_at_other_sites_since_is_not_given_the_kept_answer(
    client, store, clock, secured, logged_in, done
):
    zoe = logged_in("engineer@hamburg", "engineer@bergen")
    assert (await client.post(PATH, json=GATEWAY, headers=KEY | zoe)).status_code == 201
    bergen = PersonChange(grants=(Grant(Role.ENGINEER, "bergen"),))
    change_person(store, "zoe0", bergen, THIS_MACHINE, clock())
    clock.advance(3)
    before = done()
    refused = await client.post(PATH, json=GATEWAY, headers=KEY | zoe)
    assert (refused.status_code, done()) == (422, before)
    assert "you may act at other sites since" in refused.json()["detail"]
    assert "name" not in refused.json()


@pytest.mark.parametrize("sent", [b"", b'{"engine": "E-1"'])
async def test_what_breaks_off_before_its_end_is_not_done(app, recorder, inserted, sent):
    recorder.engine("E-1")
    messages = iter([{"type": "http.request", "body": sent, "more_body": True}, {"type": "http.disconnect"}])
    headers = [(b"host", b"127.0.0.1"), (b"idempotency-key", b"k-1"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/api/v1/engines/E-1/predict", "query_string": b""}
    scope |= {"headers": headers, "client": ("127.0.0.1", 1), "scheme": "http", "http_version": "1.1", "raw_path": b""}
    said = []

    async def receive():
        return next(messages)

    async def send(message):
        said.append(message)

    await app(scope, receive, send)
    assert (said, inserted("keyed_request"), inserted("gateway_command")) == ([], [], [])


@pytest.mark.parametrize("api_settings", [ApiSettings(rate="1/hour")])
async def test_new_keys_are_counted_before_they_are_noted(client, inserted, bearer):
    anna = bearer("engineer@hamburg")
    assert (await client.post(PATH, json=GATEWAY, headers=KEY | anna)).status_code == 201
    refused = await client.post("/api/v1/engines", json={}, headers={"Idempotency-Key": "k-2"} | anna)
    assert (refused.status_code, "retry-after" in refused.headers) == (429, True)
    assert len(inserted("keyed_request")) == 1


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
