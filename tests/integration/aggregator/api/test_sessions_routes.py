"""Logins: tokens that expire, renew once and end; failures that wait; names that cannot be guessed."""

import pytest

from aggregator.access import passwords
from aggregator.access.passwords import hash_password
from aggregator.access.roles import FULL_ACCESS, Caller, Grant, Role
from aggregator.access.tokens import TokenKey
from aggregator.settings import ApiSettings
from aggregator.store.logins import begin_login
from aggregator.store.people import PersonChange, add_person, change_person

ROOT = Caller("root on this machine", FULL_ACCESS)
PASSWORD = "correct horse battery"
HASH = hash_password(PASSWORD)


@pytest.fixture(autouse=True)
def anna(store, clock):
    add_person(store, "anna", HASH, (Grant(Role.VIEWER, "hamburg"),), ROOT, clock())
    add_person(store, "root", "no hash", FULL_ACCESS, ROOT, clock())


@pytest.fixture
def log_in(client):
    async def send(name="anna", password=PASSWORD):
        return await client.post("/api/v1/sessions", json={"name": name, "password": password})

    return send


def shows(session):
    return {"Authorization": f"Bearer {session['access_token']}"}


async def test_who_logs_in_is_known_until_the_token_expires(client, log_in, clock):
    answer = await log_in(" Anna ")
    session = answer.json()
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    assert (session["token_type"], session["expires_in"]) == ("Bearer", 900)
    me = await client.get("/api/v1/sessions/current", headers=shows(session))
    assert me.json() == {"name": "person anna", "grants": [{"role": "viewer", "site": "hamburg"}]}
    clock.advance(900)
    over = await client.get("/api/v1/sessions/current", headers=shows(session))
    assert (over.status_code, over.headers["www-authenticate"]) == (401, "Bearer")
    assert over.headers["content-type"] == "application/problem+json"


async def test_a_login_is_renewed_until_a_used_token_comes_again(client, log_in):
    first = (await log_in()).json()
    answers = [await client.post("/api/v1/sessions/refresh", json={"refresh_token": first["refresh_token"]})]
    second = answers[0].json()
    for token in (first["refresh_token"], second["refresh_token"], "x", "\x00." + "y" * 40):
        answers.append(await client.post("/api/v1/sessions/refresh", json={"refresh_token": token}))
    assert [answer.status_code for answer in answers] == [200, 401, 401, 401, 401]
    assert (await client.get("/api/v1/sessions/current", headers=shows(second))).status_code == 401


async def test_a_logout_ends_the_login_and_no_other(client, log_in):
    here, there = (await log_in()).json(), (await log_in()).json()
    assert (await client.delete("/api/v1/sessions/current", headers=shows(here))).status_code == 204
    known = [(await client.get("/api/v1/sessions/current", headers=shows(one))).status_code for one in (here, there)]
    assert known == [401, 200]


async def test_what_changes_of_a_person_changes_for_who_is_logged_in(client, log_in, store, clock):
    session = (await log_in()).json()
    assert (await client.get("/api/v1/fleet", headers=shows(session))).status_code == 200
    change_person(store, "anna", PersonChange(grants=()), ROOT, clock())
    clock.advance(2)
    assert (await client.get("/api/v1/fleet", headers=shows(session))).status_code == 403
    change_person(store, "anna", PersonChange(disabled=True), ROOT, clock())
    clock.advance(2)
    assert (await client.get("/api/v1/fleet", headers=shows(session))).status_code == 401
    assert (await log_in()).status_code == 401


async def test_p8_tokens_that_are_forged_or_of_another_purpose_are_refused(client, log_in, token_key, clock):
    await log_in()
    texts = [TokenKey.draw().issue("l", "api", clock(), 900), token_key.issue("l", "pages", clock(), 900), "x", "a.b.c"]
    for text in [*texts, token_key.issue("no-such-login", "api", clock(), 900)]:
        answer = await client.get("/api/v1/fleet", headers={"Authorization": f"Bearer {text}"})
        assert answer.status_code == 401
    for header in ("Basic YW5uYTp4", "Bearer", "bearer  ", "\xff"):
        answer = await client.get("/api/v1/fleet", headers={"Authorization": header.encode("latin-1")})
        assert answer.status_code == 401


async def test_who_has_logged_in_changes_their_own_password(client, log_in):
    session, elsewhere = (await log_in()).json(), (await log_in()).json()
    path, new = "/api/v1/sessions/current/password", "another long one"
    wrong = await client.put(path, json={"old": "wrong", "new": new}, headers=shows(session))
    changed = await client.put(path, json={"old": PASSWORD, "new": new}, headers=shows(session))
    assert (wrong.status_code, changed.status_code) == (403, 204)
    for one in (session, elsewhere):
        assert (await client.get("/api/v1/sessions/current", headers=shows(one))).status_code == 401
    assert [(await log_in("anna", password)).status_code for password in (PASSWORD, new)] == [401, 201]


async def test_nobody_learns_which_names_there_are(log_in, monkeypatch):
    checked = []
    verify = passwords._HASHER.verify
    monkeypatch.setattr(passwords._HASHER, "verify", lambda *pair: checked.append(pair[1]) or verify(*pair))
    answers = [await log_in("anna", "wrong"), await log_in("berta", "wrong"), await log_in("a'\x00--", "wrong")]
    bodies = [answer.json() for answer in answers]
    assert bodies[0] == bodies[1] == bodies[2]
    assert {answer.status_code for answer in answers} == {401}
    assert [known.split("$")[1] for known in checked] == ["argon2id"] * 3


async def test_each_failure_waits_longer_also_for_names_that_nobody_has(log_in, clock):
    for name in ("anna", "berta"):
        assert [(await log_in(name, "wrong")).status_code for _ in range(5)] == [401] * 5
        blocked = await log_in(name)
        assert (blocked.status_code, blocked.headers["retry-after"]) == (429, "2")
    clock.advance(2)
    assert (await log_in()).status_code == 201
    assert (await log_in("anna", "wrong")).status_code == 401


async def test_failed_logins_are_in_the_audit_log_without_what_may_be_a_password(client, log_in, bearer_of_root):
    await log_in("anna", "wrong")
    await log_in("Correct Horse Battery", "anna")
    entries = (await client.get("/api/v1/audit", headers=bearer_of_root)).json()["items"]
    failed = [entry for entry in entries if entry["action"] == "login.failed"]
    assert [entry["subject"] for entry in failed] == ["person (no name)", "person anna"]
    assert failed[0]["address"] == "127.0.0.1"
    assert PASSWORD not in str(entries)


@pytest.fixture
def bearer_of_root(store, clock, token_key):
    begin_login(store, "root", "l-root", "192.0.2.1", clock(), clock.in_(900))
    return {"Authorization": f"Bearer {token_key.issue('l-root', 'api', clock(), 900)}"}


@pytest.mark.parametrize("api_settings", [ApiSettings(login_rate="3/hour", rate="2/hour")])
async def test_attempts_are_limited_by_address_and_requests_by_caller_and_route(client, log_in, bearer_of_root):
    assert [(await log_in(name, "wrong")).status_code for name in ("a", "b", "c", "d")] == [401, 401, 401, 429]
    statuses = [await client.get("/api/v1/fleet", headers=bearer_of_root) for _ in range(3)]
    assert [answer.status_code for answer in statuses] == [200, 200, 429]
    assert 0 < int(statuses[2].headers["retry-after"]) <= 3600
    assert (await client.get("/api/v1/people", headers=bearer_of_root)).status_code == 200
    assert (await client.get("/api/v1/people/root", headers=bearer_of_root)).status_code == 200
    unknown = [(await client.get("/api/v1/fleet")).status_code for _ in range(3)]
    assert unknown == [401, 401, 429]


async def test_the_cookie_of_the_pages_reads_and_changes_nothing(client, log_in, token_key, clock, store):
    begin_login(store, "root", "l-page", "192.0.2.1", clock(), clock.in_(900))
    cookie = {"Cookie": f"spoolwatch_login={token_key.issue('l-page', 'pages', clock(), 900)}"}
    assert (await client.get("/api/docs", headers=cookie)).status_code == 200
    assert (await client.get("/api/v1/people", headers=cookie)).status_code == 200
    refused = await client.patch("/api/v1/people/anna", json={"disabled": True}, headers=cookie)
    assert refused.status_code == 401
