"""Work orders over the API: from an alarm to an outcome, and what the outcome says of the model."""

import pytest

ORDERS, ALARMS = "/api/v1/work-orders", "/api/v1/alarms"


async def test_from_an_alarm_to_an_outcome_to_the_figures_of_the_model(client, recorder, clock):
    recorder.register("E-1")
    for cycle in range(1, 61):
        clock.advance(3600)
        recorder.send(recorder.row("E-1", cycle), recorder.prediction("E-1", cycle, q50=71.0 - cycle, spread=15.0))
    alarms = (await client.get(ALARMS, params={"state": "open"})).json()["items"]
    assert {one["rule"] for one in alarms} >= {"rul-critical", "rul-low"}
    ids = [one["id"] for one in alarms]
    opened = await client.post(ORDERS, json={"alarms": ids, "planned_for": "2026-12-01", "parts_lead_time_days": 5})
    assert opened.status_code == 201, opened.text
    order = opened.json()
    assert (order["state"], order["order_parts_by"], order["priority"]) == ("planned", "2026-11-26", "urgent")
    path = opened.headers["Location"]
    for alarm_id in ids:
        alarm = (await client.get(f"{ALARMS}/{alarm_id}")).json()
        assert (alarm["work_order_id"], alarm["acknowledged_by"]) == (order["id"], "anyone")
    assert (await client.post(f"{path}/start")).json()["state"] == "in_progress"
    done = await client.post(f"{path}/outcome", json={"outcome": "failed", "cycle": 60, "remedy": "replaced"})
    assert done.status_code == 200, done.text
    assert (done.json()["state"], done.json()["ended_cycle"]) == ("done", 60)
    assert [one["action"] for one in done.json()["changes"]] == ["opened", "started", "done"]
    assert (await client.get(ALARMS, params={"state": "open"})).json()["items"] == []
    assert (await client.get("/api/v1/engines/E-1")).json()["gateway"] is None
    (model,) = (await client.get("/api/v1/models/outcomes")).json()
    figures = model["figures"]
    assert (figures["lives"], figures["predictions"], figures["rmse_interval"]) == (1, 60, None)
    assert figures["bias_cycles"] == pytest.approx(10.0)
    assert figures["coverage"] == 1.0
    leads = {one["rule"]: one for one in model["leads"]}
    assert leads["rul-critical"]["median_cycles"] == 60 - 39
    rules = {one["rule"]: one for one in (await client.get("/api/v1/alarm-rules/outcomes")).json()}
    assert (rules["rul-critical"]["warned"], rules["rul-critical"]["work_orders"]) == (1, 1)
    assert rules["rul-critical"]["median_cycles"] == leads["rul-critical"]["median_cycles"]


@pytest.fixture
async def order(client, recorder):
    """Opened by hand."""
    recorder.engine("E-1")
    return (await client.post(ORDERS, json={"engine": "E-1", "reason": "noise"})).json()


async def test_it_is_planned_and_edited(client, order):
    path = f"{ORDERS}/{order['id']}"
    assert (order["state"], order["priority"], order["alarms"]) == ("open", "medium", [])
    edit = {"planned_for": "2026-12-10", "parts_lead_time_days": 14, "assigned_to": "line 3", "priority": None}
    planned = (await client.patch(path, json=edit)).json()
    assert (planned["state"], planned["order_parts_by"], planned["priority"]) == ("planned", "2026-11-26", "medium")
    note = planned["changes"][-1]["note"]
    assert note == "planned_for: 2026-12-10; parts_lead_time_days: 14; assigned_to: line 3"
    assert (await client.patch(path, json=edit)).json() == (await client.patch(path, json={})).json() == planned
    assert (await client.patch(path, json={"planned_for": None})).json()["state"] == "open"
    await client.post(f"{path}/comments", json={"text": "hangar 2"})
    assert (await client.get(path)).json()["changes"][-1]["note"] == "hangar 2"


async def test_a_list_comes_in_pages_and_as_a_file(client, order):
    for reason in ("=1+1", "leak"):
        await client.post(ORDERS, json={"engine": "E-1", "reason": reason, "planned_for": "2026-12-10"})
    first = await client.get(ORDERS, params={"limit": 2, "state": "unfinished"})
    rest = await client.get(first.links["next"]["url"])
    reasons = [one["reason"] for page in (first, rest) for one in page.json()["items"]]
    assert reasons == ["leak", "=1+1", "noise"]
    assert "next" not in rest.links
    file = await client.get(f"{ORDERS}.csv", params={"fields": "reason,planned_for", "state": "planned"})
    assert file.text.splitlines() == ["reason,planned_for", "leak,2026-12-10", "'=1+1,2026-12-10"]


async def test_who_has_not_seen_the_latest_version_changes_nothing(client, order):
    path = f"{ORDERS}/{order['id']}"
    seen = {"If-Match": (await client.get(path)).headers["ETag"]}
    assert (await client.post(f"{path}/start", headers=seen)).json()["state"] == "in_progress"
    late = await client.post(f"{path}/outcome", json={"outcome": "no_fault_found"}, headers=seen)
    assert late.status_code == 412
    assert (await client.get(path)).json()["state"] == "in_progress"


async def test_the_same_request_twice_opens_one(client, order):
    once, body = {"Idempotency-Key": "k-1"}, {"engine": "E-1", "reason": "leak"}
    ids = [(await client.post(ORDERS, json=body, headers=once)).json()["id"] for _ in range(2)]
    assert ids[0] == ids[1] != order["id"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "name the engine, or alarms of it"),
        ({"engine": "E-1"}, "opened by hand needs a reason"),
        ({"engine": "E-1", "reason": "x", "parts_lead_time_days": -1}, "greater than or equal to 0"),
        ({"engine": "E-1", "reason": "x", "planned_for": 5}, "write it as RFC 3339 says"),
    ],
)
async def test_what_cannot_be_opened_is_told(client, body, told):
    answer = await client.post(ORDERS, json=body)
    assert answer.status_code == 422
    assert told in answer.text


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"outcome": "replaced", "remedy": "overhauled"}, 422, "a remedy is of an engine that failed"),
        ({"outcome": "no_fault_found", "cycle": 3}, 422, "no life has ended at a cycle"),
        ({"outcome": "failed", "at": "2027-01-01T00:00:00Z"}, 409, "not ahead"),
        ({"outcome": "lost"}, 422, "'failed', 'replaced', 'overhauled' or 'no_fault_found'"),
    ],
)
async def test_an_outcome_that_cannot_be_is_told(client, order, body, status, told):
    answer = await client.post(f"{ORDERS}/{order['id']}/outcome", json=body)
    assert (answer.status_code, told in answer.text) == (status, True), answer.text
    assert (await client.get(f"{ORDERS}/{order['id']}")).json()["outcome"] is None


async def test_of_few_lives_no_interval_is_told_and_of_five_one(client, recorder, clock):
    for number in range(5):
        recorder.register(f"E-{number}", position=str(number))
        recorder.send(*(recorder.prediction(f"E-{number}", c, q50=40.0 - c + number) for c in range(1, 31)))
        order = (await client.post(ORDERS, json={"engine": f"E-{number}", "reason": "noise"})).json()
        assert order["alarms"] == []
        await client.post(f"{ORDERS}/{order['id']}/outcome", json={"outcome": "failed", "cycle": 30})
        (model,) = (await client.get("/api/v1/models/outcomes")).json()
        assert (model["figures"]["lives"], model["figures"]["rmse_interval"] is None) == (number + 1, number < 4)
    low, high = model["figures"]["rmse_interval"]
    assert low < model["figures"]["rmse_cycles"] < high
    leads = [(one["rule"], one["warned"], one["least_cycles"], one["median_cycles"]) for one in model["leads"]]
    assert leads == [("rul-critical", 5, 23, 25), ("rul-low", 5, 27, 27)]
    assert (await client.get("/api/v1/models/outcomes", params={"type": "pump"})).json() == []
    assert (await client.get("/api/v1/models/outcomes", params={"fields": "censored"})).json() == [
        {"censored": {"lives": 0, "predictions": 0, "too_low": 0}}
    ]
