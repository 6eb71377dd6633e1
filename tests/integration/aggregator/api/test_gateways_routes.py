"""GET and POST /gateways."""

from shared.messages import BudgetStatus


async def test_a_gateway_shows_its_last_status_and_link(client, recorder, clock):
    recorder.engine("E-1")
    recorder.register("E-2", gateway="gw-2", site="bremen")
    recorder.status("heartbeat")
    clock.advance(105)
    heard, silent = (await client.get("/api/v1/gateways")).json()["items"]
    assert heard["liveness"] == {"state": "stale", "reason": "heartbeat 95 s late, last record 105 s ago"}
    assert heard["last_record_at"] == "2026-11-21T12:00:00Z"
    assert heard["status"] == {
        "event": "heartbeat",
        "session": 3,
        "agent_version": "0.1.0",
        "sent_at": "2026-11-21T12:00:00Z",
        "received_at": "2026-11-21T12:00:00Z",
        "heartbeat_interval_s": 10.0,
        "unacked_records": 7,
        "dead_letters": 0,
        "dropped_records": 0,
        "parked_records": 0,
        "outbox_used_bytes": 0,
        "outbox_capacity_bytes": 0,
        "outbox_hours_left": None,
        "accepted_per_s": 0.0,
        "sent_bytes": None,
        "received_bytes": None,
        "daily_budget_bytes": None,
        "budget_spent_bytes": None,
        "budget_waits": None,
        "model": None,
        "engines": [],
        "source_kind": "file",
        "source_state": "reading",
        "last_row_at": None,
        "refused_rows": 0,
        "last_error": None,
    }
    assert (silent["name"], silent["site"], silent["status"]) == ("gw-2", "bremen", None)
    assert silent["liveness"]["state"] == "never_seen"


async def test_a_gateway_that_saves_data_says_so_and_is_not_taken_for_a_dead_one(client, recorder, clock):
    recorder.engine("E-1")
    budget = BudgetStatus(day_bytes=10**7, spent_bytes=10**7 + 5, waits="records")
    recorder.status(budget=budget, heartbeat_interval_s=3600.0)
    clock.advance(7200)
    (gateway,) = (await client.get("/api/v1/gateways")).json()["items"]
    assert gateway["liveness"] == {"state": "online", "reason": "heartbeat on time, promised every 3600 s"}
    told = {name: value for name, value in gateway["status"].items() if "budget" in name}
    assert told == {"daily_budget_bytes": 10**7, "budget_spent_bytes": 10**7 + 5, "budget_waits": "records"}


async def test_p9_records_after_a_last_will_are_told(client, recorder, clock):
    recorder.engine("E-1")
    recorder.status("will")
    clock.advance(20)
    recorder.send(recorder.row("E-1", 2))
    (gateway,) = (await client.get("/api/v1/gateways")).json()["items"]
    assert gateway["liveness"] == {
        "state": "online",
        "reason": "records arrive although its last will was received at 2026-11-21T12:00:00Z",
    }


async def test_one_gateway_is_shown_as_the_list_shows_it(client, recorder):
    recorder.engine("E-1")
    recorder.engine("E-2", gateway="gw-2")
    recorder.status("heartbeat")
    gateway = (await client.get("/api/v1/gateways/gw-1")).json()
    assert gateway["status"]["unacked_records"] == 7
    assert gateway == (await client.get("/api/v1/gateways")).json()["items"][0]
    missing = await client.get("/api/v1/gateways/gw-9")
    assert (missing.status_code, "register it" in missing.json()["detail"]) == (404, True)


async def test_gateways_come_by_name_in_pages(client, recorder):
    for number in (2, 3, 1):
        recorder.register(f"E-{number}", gateway=f"gw-{number}")
    first = await client.get("/api/v1/gateways", params={"limit": 2})
    second = await client.get(first.links["next"]["url"])
    names = [item["name"] for page in (first, second) for item in page.json()["items"]]
    assert names == ["gw-1", "gw-2", "gw-3"]
    assert second.json()["next"] is None


async def test_a_gateway_is_registered_once(client):
    new = {"name": "gw-7", "site": "hamburg"}
    first = await client.post("/api/v1/gateways", json=new)
    again = await client.post("/api/v1/gateways", json=new)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json() == (await client.get(first.headers["location"])).json()
    other = await client.post("/api/v1/gateways", json=new | {"site": "kiel"})
    assert other.status_code == 409
    assert "gateway gw-7 is registered at site hamburg" in other.json()["detail"]
