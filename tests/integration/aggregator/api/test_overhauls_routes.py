"""Overhauls are entered over the API and shown on the engine."""

import pytest

PATH = "/api/v1/engines/E-1/overhauls"


@pytest.fixture(autouse=True)
def _flown(recorder, clock):
    recorder.register("E-1")
    for cycle in (1, 2, 3):
        clock.advance(3600)
        recorder.send(recorder.row("E-1", cycle))


async def test_an_overhaul_is_entered_and_shown_on_the_engine(client):
    before = (await client.get("/api/v1/engines/E-1")).json()
    assert (before["maintenance_epoch"], before["last_overhaul_at"]) == (0, None)
    made = await client.post(PATH, json={"at": "2026-11-21T14:30:00Z"})
    assert made.status_code == 201, made.text
    where = before["installation"]["id"]
    expected = {"epoch": 1, "at": "2026-11-21T14:30:00Z", "installation_id": where, "after_cycle": 2}
    assert made.json() == expected
    second = (await client.post(PATH, json={"after_cycle": 9})).json()
    assert (second["epoch"], second["at"], second["after_cycle"]) == (2, "2026-11-21T15:00:00Z", 9)
    assert (await client.get(PATH)).json() == {"items": [second, expected]}
    after = (await client.get("/api/v1/engines/E-1")).json()
    assert (after["maintenance_epoch"], after["last_overhaul_at"]) == (2, "2026-11-21T15:00:00Z")


@pytest.mark.parametrize(
    ("serial", "body", "status", "reason"),
    [
        ("E-9", {}, 404, "engine E-9 is not registered"),
        ("E-1", {"at": "2027-01-01T00:00:00Z"}, 409, "not ahead"),
        ("E-1", {"at": "2020-01-01T00:00:00Z", "after_cycle": 1}, 409, "hung nowhere then"),
        ("E-1", {"after_cycle": -1}, 422, None),
        ("E-1", {"after_cycle": True}, 422, None),
        ("E-1", {"at": "2026-11-21T14:30:00"}, 422, None),
    ],
)
async def test_an_overhaul_that_cannot_be_is_refused_with_its_reason(client, serial, body, status, reason):
    answer = await client.post(f"/api/v1/engines/{serial}/overhauls", json=body)
    assert answer.status_code == status
    assert reason is None or reason in answer.json()["detail"]


async def test_the_last_overhaul_is_taken_back(client):
    before = (await client.get("/api/v1/engines/E-1")).json()
    for body in ({"after_cycle": 1, "at": "2026-11-21T13:30:00Z"}, {"after_cycle": 2}):
        assert (await client.post(PATH, json=body)).status_code == 201
    first = await client.delete(f"{PATH}/1")
    assert (first.status_code, "is not its last one" in first.json()["detail"]) == (409, True)
    for epoch in (2, 1):
        assert (await client.delete(f"{PATH}/{epoch}")).status_code == 204
    gone = await client.delete(f"{PATH}/1")
    assert (gone.status_code, gone.json()["detail"]) == (404, "engine E-1 has no overhaul 1")
    assert (await client.get("/api/v1/engines/E-1")).json() == before
    audit = (await client.get("/api/v1/audit")).json()["items"]
    assert [one["action"] for one in audit][:2] == ["engine.overhaul_undone"] * 2


async def test_an_overhaul_that_is_the_outcome_of_a_work_order_is_corrected_there(client):
    order = (await client.post("/api/v1/work-orders", json={"engine": "E-1", "reason": "it is old"})).json()
    outcome = f"/api/v1/work-orders/{order['id']}/outcome"
    assert (await client.post(outcome, json={"outcome": "overhauled"})).status_code == 200
    refused = await client.delete(f"{PATH}/1")
    assert (refused.status_code, f"work order {order['id']}" in refused.json()["detail"]) == (409, True)


async def test_an_engine_is_registered_with_its_age(client):
    wanted = {"serial": "E-2", "site": "hamburg", "gateway": "gw-1", "position": "2", "installation_cycle": 412}
    made = await client.post("/api/v1/engines", json=wanted)
    assert made.json()["installation"]["installation_cycle"] == 412


async def test_overhauls_of_an_engine_that_is_not_registered_are_not_found(client):
    assert (await client.get("/api/v1/engines/E-9/overhauls")).status_code == 404
