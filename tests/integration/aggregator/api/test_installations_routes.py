"""Engines are installed, moved, corrected, edited and retired over the API."""

import pytest

PLACE = {"engine": "E-1", "gateway": "gw-1", "position": "left", "installed_from": "2026-11-01T06:00:00Z"}


@pytest.fixture
async def shelf(client):
    """Two engines that hang nowhere, and two gateways."""
    for serial in ("E-1", "E-2"):
        await client.post("/api/v1/engines", json={"serial": serial, "site": "hamburg"})
    for name, site in (("gw-1", "hamburg"), ("gw-2", "kiel")):
        await client.post("/api/v1/gateways", json={"name": name, "site": site})


@pytest.fixture
async def installed(client, shelf):
    return (await client.post("/api/v1/installations", json=PLACE | {"installation_cycle": 120})).json()


async def test_an_engine_is_installed_and_shows_where(client, installed):
    assert installed | {"id": "?"} == PLACE | {"id": "?", "installed_to": None, "installation_cycle": 120}
    assert (await client.get(f"/api/v1/installations/{installed['id']}")).json() == installed
    engine = (await client.get("/api/v1/engines/E-1")).json()
    assert engine["installation"] == installed
    assert (engine["gateway"], engine["position"]) == ("gw-1", "left")


async def test_without_a_time_it_is_installed_now(client, shelf):
    answer = await client.post("/api/v1/installations", json={"engine": "E-1", "gateway": "gw-1"})
    assert answer.status_code == 201
    assert answer.json()["installed_from"] == "2026-11-21T12:00:00Z"
    assert (await client.get(answer.headers["Location"])).json() == answer.json()


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ({"engine": "E-2"}, 409, "position left of gateway gw-1 holds engine E-1 until now"),
        ({"position": "right"}, 409, "engine E-1 is installed at position left"),
        ({"engine": "E-9"}, 404, "engine E-9 is not registered"),
        ({"gateway": "gw-9"}, 409, "gateway gw-9 is not registered"),
        ({"installed_from": "2027-01-01T00:00:00Z"}, 409, "not ahead"),
        ({"installed_from": "2026-11-01T06:00:00"}, 422, None),
        ({"installation_cycle": -1}, 422, None),
    ],
)
async def test_an_installation_that_cannot_be_is_refused_with_its_reason(client, installed, change, status, reason):
    answer = await client.post("/api/v1/installations", json=PLACE | change)
    assert answer.status_code == status
    assert reason is None or reason in answer.json()["detail"]


async def test_after_a_swap_the_history_tells_who_hung_where_when(client, installed):
    path = f"/api/v1/installations/{installed['id']}"
    ended = await client.patch(path, json={"installed_to": "2026-11-10T00:00:00Z"})
    assert ended.json() == installed | {"installed_to": "2026-11-10T00:00:00Z"}
    swapped = PLACE | {"engine": "E-2", "installed_from": "2026-11-10T00:00:00Z"}
    await client.post("/api/v1/installations", json=swapped)
    await client.post(
        "/api/v1/installations", json=PLACE | {"gateway": "gw-2", "installed_from": "2026-11-12T00:00:00Z"}
    )

    async def listed(**query):
        items = (await client.get("/api/v1/installations", params=query)).json()["items"]
        return [(one["engine"], one["gateway"]) for one in items]

    assert await listed() == [("E-1", "gw-2"), ("E-2", "gw-1"), ("E-1", "gw-1")]
    assert await listed(engine="E-1") == [("E-1", "gw-2"), ("E-1", "gw-1")]
    assert await listed(gateway="gw-1") == [("E-2", "gw-1"), ("E-1", "gw-1")]
    assert await listed(at="2026-11-09T23:59:59Z") == [("E-1", "gw-1")]
    assert await listed(at="2026-11-10T00:00:00Z") == [("E-2", "gw-1")]
    assert (await client.get("/api/v1/engines/E-1")).json()["site"] == "kiel"


async def test_installations_come_in_pages(client, installed):
    await client.post("/api/v1/installations", json=PLACE | {"engine": "E-2", "gateway": "gw-2"})
    first = await client.get("/api/v1/installations", params={"limit": 1})
    second = await client.get(first.links["next"]["url"])
    assert {one["engine"] for page in (first, second) for one in page.json()["items"]} == {"E-1", "E-2"}
    assert second.json()["next"] is None


async def test_who_has_not_seen_the_last_edit_does_not_overwrite_it(client, installed):
    for path, change in (
        (f"/api/v1/installations/{installed['id']}", {"installation_cycle": 7}),
        ("/api/v1/engines/E-1", {"type": "pump"}),
    ):
        seen = {"If-Match": (await client.get(path)).headers["ETag"]}
        edited = await client.patch(path, json=change, headers=seen)
        assert edited.status_code == 200
        assert edited.headers["ETag"] != seen["If-Match"]
        assert edited.json().items() >= change.items()
        late = await client.patch(path, json=change, headers=seen)
        assert late.status_code == 412
        assert (await client.patch(path, json=change, headers={"If-Match": "*"})).status_code == 200


async def test_a_tag_seen_before_measurements_came_still_names_what_is_edited(client, recorder):
    recorder.engine("E-1")
    before = (await client.get("/api/v1/engines/E-1")).headers["ETag"]
    recorder.send(recorder.row("E-1", 2))
    seen = {"If-Match": before}
    assert (await client.patch("/api/v1/engines/E-1", json={"type": "pump"}, headers=seen)).status_code == 200
    assert (await client.patch("/api/v1/engines/E-1", json={"type": "fan"}, headers=seen)).status_code == 412


async def test_what_is_left_out_or_null_stays_as_it_is(client, installed):
    change = {"status": "maintenance", "type": None}
    engine = (await client.patch("/api/v1/engines/E-1", json=change)).json()
    assert (engine["status"], engine["type"], engine["site"]) == ("maintenance", "turbofan", "hamburg")
    path = f"/api/v1/installations/{installed['id']}"
    assert (await client.patch(path, json={"position": None, "installed_from": None})).json() == installed


async def test_a_removal_that_was_wrong_is_taken_back(client, installed):
    path = f"/api/v1/installations/{installed['id']}"
    await client.patch(path, json={"installed_to": "2026-11-10T00:00:00Z"})
    assert (await client.patch(path, json={"installed_to": None})).json() == installed


async def test_a_retired_engine_leaves_its_place_and_the_fleet(client, installed):
    engine = (await client.patch("/api/v1/engines/E-1", json={"status": "retired"})).json()
    assert (engine["status"], engine["installation"], engine["gateway"]) == ("retired", None, None)
    assert (await client.get("/api/v1/fleet")).json()["counts"]["total"] == 1


@pytest.mark.parametrize(
    ("path", "change", "status"),
    [
        ("engines/E-1", {"site": "kiel"}, 409),
        ("engines/E-1", {"site": "centre"}, 422),
        ("engines/E-1", {"serial": "E-3"}, 422),
        ("engines/E-9", {"type": "pump"}, 404),
        ("installations/x", {"position": "right"}, 404),
    ],
)
async def test_an_edit_that_cannot_be_is_refused(client, installed, path, change, status):
    assert (await client.patch(f"/api/v1/{path}", json=change)).status_code == status


async def test_p8_each_change_is_in_the_audit_log(client, recorder, installed):
    await client.patch(f"/api/v1/installations/{installed['id']}", json={"installation_cycle": 7})
    await client.patch("/api/v1/engines/E-1", json={"type": "pump"})
    recorder.send(recorder.row("E-9", 1), recorder.row("E-1", 1, installation_id="x"))
    await client.post("/api/v1/engines", json={"serial": "E-9", "site": "hamburg", "gateway": "gw-1"})
    await client.post("/api/v1/quarantine/redrive", json={})
    (kept,) = (await client.get("/api/v1/quarantine")).json()["items"]
    await client.delete(f"/api/v1/quarantine/{kept['id']}")
    entries = (await client.get("/api/v1/audit")).json()["items"]
    assert [entry["action"] for entry in entries[:6]] == [
        "quarantine.discard",
        "quarantine.redrive",
        "engine.register",
        "engine.edit",
        "installation.amend",
        "engine.install",
    ]
    assert {(entry["who"], entry["site"]) for entry in entries[:6]} == {("anyone", "hamburg")}
    edit, amend = entries[3], entries[4]
    assert (edit["before"]["type"], edit["after"]["type"]) == ("turbofan", "pump")
    assert (amend["before"]["installation_cycle"], amend["after"]["installation_cycle"]) == (120, 7)
