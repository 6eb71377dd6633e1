"""/people, /api-keys and /audit: what admins do, and what is written down of it."""

import pytest

PERSON = {"name": "anna", "password": "correct horse battery", "grants": [{"role": "engineer", "site": "hamburg"}]}
KEY = {"purpose": "planner export", "role": "viewer", "sites": ["hamburg", "bremen"], "expires_in_days": 30}


async def test_the_first_person_closes_a_centre_that_was_open(client):
    assert (await client.get("/api/v1/fleet")).status_code == 200
    added = await client.post("/api/v1/people", json=PERSON)
    assert (added.status_code, added.headers["location"]) == (201, "/api/v1/people/anna")
    assert (await client.get("/api/v1/fleet")).status_code == 401
    assert (await client.get("/api/docs")).status_code == 401
    assert (await client.get("/health/live")).status_code == 200


async def test_a_person_who_was_added_elsewhere_closes_it_within_seconds(client, clock, secured):
    clock.advance(2)
    assert (await client.get("/api/v1/fleet")).status_code == 401


async def test_a_person_is_added_shown_and_changed(client, logged_in):
    headers = logged_in()
    shown = (await client.post("/api/v1/people", json=PERSON, headers=headers)).json()
    assert shown == {
        "name": "anna",
        "grants": PERSON["grants"],
        "disabled": False,
        "added_at": "2026-11-21T12:00:00Z",
    }
    assert (await client.post("/api/v1/people", json=PERSON, headers=headers)).status_code == 409
    changed = await client.patch("/api/v1/people/anna", json={"disabled": True, "grants": []}, headers=headers)
    assert (changed.json()["disabled"], changed.json()["grants"]) == (True, [])
    people = (await client.get("/api/v1/people", headers=headers)).json()["items"]
    assert [person["name"] for person in people] == ["anna", "zoe0"]
    last = await client.patch("/api/v1/people/zoe0", json={"disabled": True}, headers=headers)
    assert (last.status_code, "last admin" in last.json()["detail"]) == (409, True)


async def test_nobody_overwrites_a_change_of_a_person_that_they_have_not_seen(client, logged_in):
    headers = logged_in()
    added = await client.post("/api/v1/people", json=PERSON, headers=headers)
    seen = (await client.get("/api/v1/people/anna", headers=headers)).headers["etag"]
    changed = await client.patch("/api/v1/people/anna", json={"grants": []}, headers=headers | {"If-Match": seen})
    assert changed.status_code == 200
    for stale in (seen, added.headers["etag"]):
        late = {"If-Match": stale}
        refused = await client.patch("/api/v1/people/anna", json={"disabled": True}, headers=headers | late)
        assert (refused.status_code, "edited since" in refused.json()["detail"]) == (412, True)
    last = headers | {"If-Match": changed.headers["etag"]}
    assert (await client.patch("/api/v1/people/anna", json={"disabled": True}, headers=last)).json()["disabled"]


async def test_people_come_in_pages(client, logged_in):
    first = await client.get("/api/v1/people?limit=1", headers=(headers := logged_in()))
    assert first.json()["next"] is None
    await client.post("/api/v1/people", json=PERSON, headers=headers)
    first = await client.get("/api/v1/people?limit=1", headers=headers)
    second = await client.get(first.links["next"]["url"], headers=headers)
    assert [page.json()["items"][0]["name"] for page in (first, second)] == ["anna", "zoe0"]
    assert second.json()["next"] is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Anna"},
        {"password": "short"},
        {"grants": [{"role": "king", "site": "hamburg"}]},
        {"grants": [{"role": "viewer", "site": "a/b"}]},
        {"grants": [{"role": "viewer"}]},
        {"admin": True},
    ],
)
async def test_what_cannot_be_is_refused(client, wrong):
    answer = await client.post("/api/v1/people", json=PERSON | wrong)
    assert answer.status_code == 422
    assert next(iter(wrong)) in answer.json()["errors"][0]["location"]


async def test_a_key_is_shown_once_and_good_until_it_is_revoked_or_expires(client, logged_in, clock):
    headers = logged_in()
    made = (await client.post("/api/v1/api-keys", json=KEY, headers=headers)).json()
    other = (await client.post("/api/v1/api-keys", json=KEY, headers=headers)).json()
    assert made["key"].startswith(f"swk_{made['id']}_")
    assert made["grants"] == [{"role": "viewer", "site": "hamburg"}, {"role": "viewer", "site": "bremen"}]
    assert made["expires_at"] == "2026-12-21T12:00:00Z"
    listed = await client.get("/api/v1/api-keys", headers=headers)
    assert made["id"] in listed.text
    assert made["key"] not in listed.text

    async def status_of(key):
        return (await client.get("/api/v1/fleet", headers={"Authorization": f"Bearer {key['key']}"})).status_code

    assert [await status_of(made), await status_of(other)] == [200, 200]
    for _ in range(2):
        assert (await client.delete(f"/api/v1/api-keys/{made['id']}", headers=headers)).status_code == 204
    assert [await status_of(made), await status_of(other)] == [401, 200]
    assert (await client.delete("/api/v1/api-keys/00000000", headers=headers)).status_code == 404
    clock.advance(30 * 24 * 3600)
    assert await status_of(other) == 401


async def test_keys_come_in_pages(client, logged_in, clock):
    headers = logged_in()
    ids = []
    for _ in range(3):
        clock.advance(1)
        ids.append((await client.post("/api/v1/api-keys", json=KEY, headers=headers)).json()["id"])
    url, seen = "/api/v1/api-keys?limit=2", []
    while url:
        page = await client.get(url, headers=headers)
        seen += [key["id"] for key in page.json()["items"]]
        url = page.links["next"]["url"] if "next" in page.links else None
    assert seen == ids


async def test_every_change_is_in_the_audit_log(client, logged_in):
    headers = logged_in()
    await client.post("/api/v1/people", json=PERSON, headers=headers)
    await client.patch("/api/v1/people/anna", json={"password": "another long one"}, headers=headers)
    made = (await client.post("/api/v1/api-keys", json=KEY, headers=headers)).json()
    await client.delete(f"/api/v1/api-keys/{made['id']}", headers=headers)
    first = await client.get("/api/v1/audit?limit=3", headers=headers)
    second = await client.get(first.links["next"]["url"], headers=headers)
    entries = first.json()["items"] + second.json()["items"]
    assert [entry["action"] for entry in entries[:4]] == ["key.revoke", "key.add", "person.change", "person.add"]
    changed = entries[2]
    assert (changed["subject"], changed["site"], changed["address"]) == ("person anna", "hamburg", "127.0.0.1")
    assert changed["who"] == "person zoe0"
    assert changed["after"] == changed["before"] | {"password": "changed"}
    for secret in (PERSON["password"], "another long one", "argon2", made["key"]):
        assert secret not in first.text + second.text


async def test_p8_a_key_that_is_shown_to_strangers_makes_nothing_that_outlives_it(client, bearer):
    key = bearer("admin@hamburg")
    assert (await client.get("/api/v1/people", headers=key)).status_code == 200
    for method, path, body in (
        ("POST", "people", PERSON),
        ("PATCH", "people/root", {"password": "another long one"}),
        ("POST", "api-keys", KEY),
        ("DELETE", "api-keys/00000000", None),
    ):
        answer = await client.request(method, f"/api/v1/{path}", json=body, headers=key)
        assert (answer.status_code, "log in" in answer.json()["detail"]) == (403, True)


@pytest.mark.parametrize("less", [{"disabled": True}, {"grants": [{"role": "admin", "site": "bremen"}]}])
async def test_p8_a_key_ends_where_whoever_made_it_could_not_make_it_any_more(client, logged_in, less):
    admin, maker = logged_in(), logged_in("admin@hamburg", "admin@bremen")  # zoe0 and zoe1
    made = [
        (await client.post("/api/v1/api-keys", json=KEY | {"sites": sites}, headers=maker)).json()
        for sites in (["hamburg"], ["bremen"])
    ]
    await client.patch("/api/v1/people/zoe1", json=less, headers=admin)
    shown = [{"Authorization": f"Bearer {key['key']}"} for key in made]
    statuses = [(await client.get("/api/v1/fleet", headers=headers)).status_code for headers in shown]
    assert statuses == [401, 401 if "disabled" in less else 200]
    actions = [one["action"] for one in (await client.get("/api/v1/audit", headers=admin)).json()["items"]]
    assert actions.count("key.revoke") == statuses.count(401)
