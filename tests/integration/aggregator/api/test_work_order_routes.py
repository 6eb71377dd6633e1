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
