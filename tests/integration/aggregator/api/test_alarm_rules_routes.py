"""The rules of alarms over the API, and what they would have raised."""

import pytest

from aggregator.fleet.alarms import DEFAULT_RULES

RULES = "/api/v1/alarm-rules"
OFF = {"name": "rul-critical", "priority": "urgent", "enabled": False}
LOW = {"kind": "rul_low", "below_cycles": 20, "probability": 0.05}


async def test_the_rules_of_a_new_store_are_told_with_all_their_defaults(client):
    items = (await client.get(RULES)).json()["items"]
    assert [(one["name"], one["priority"]) for one in items] == sorted(
        (rule.name, rule.priority.value) for rule in DEFAULT_RULES
    )
    (critical,) = [one for one in items if one["name"] == "rul-critical"]
    assert critical["condition"] == LOW | {"margin_cycles": 5, "predictions": 3}
    assert (critical["site"], critical["type"], critical["enabled"]) == (None, None, True)
    assert critical["escalates_after_s"] is None


async def test_a_rule_of_a_site_is_added_edited_and_deleted(client, bearer):
    headers = bearer("engineer@hamburg")
    added = await client.post(RULES, json=OFF | {"site": "hamburg", "condition": LOW}, headers=headers)
    assert added.status_code == 201, added.text
    path = added.headers["location"]
    assert (await client.get(path, headers=headers)).json() == added.json()
    again = await client.post(RULES, json=OFF | {"site": "hamburg", "condition": LOW}, headers=headers)
    assert again.status_code == 409
    wanted = {"priority": "high", "condition": LOW | {"below_cycles": 30}, "escalates_after_s": 7200}
    edited = await client.put(path, json=wanted, headers=headers | {"If-Match": added.headers["etag"]})
    assert edited.json() | wanted | {"enabled": True} | {"condition": edited.json()["condition"]} == edited.json()
    assert edited.json()["condition"]["below_cycles"] == 30
    stale = await client.put(path, json=wanted, headers=headers | {"If-Match": added.headers["etag"]})
    assert stale.status_code == 412
    assert (await client.delete(path, headers=headers)).status_code == 204
    assert (await client.get(path, headers=headers)).status_code == 404
    actions = [one["action"] for one in (await client.get("/api/v1/audit", headers=bearer())).json()["items"]]
    assert [one for one in actions if one.startswith("alarm_rule")] == [
        "alarm_rule.delete",
        "alarm_rule.edit",
        "alarm_rule.add",
    ]


async def test_rules_for_all_sites_take_an_engineer_of_all(client, bearer):
    headers = bearer("engineer@hamburg")
    refused = await client.post(RULES, json=OFF | {"name": "mine", "condition": LOW}, headers=headers)
    assert (refused.status_code, refused.json()["detail"]) == (403, "This takes the role engineer at all sites.")
    (first, *_) = (await client.get(RULES, headers=headers)).json()["items"]
    body = {"priority": "low", "condition": first["condition"]}
    assert (await client.put(f"{RULES}/{first['id']}", json=body, headers=headers)).status_code == 403
    assert (await client.delete(f"{RULES}/{first['id']}", headers=headers)).status_code == 403
    everywhere = bearer("engineer@*")
    assert (await client.put(f"{RULES}/{first['id']}", json=body, headers=everywhere)).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"condition": {"kind": "gateway_offline"}, "type": "turbofan"},
        {"condition": LOW | {"kind": "sensor_bad"}},
        {"condition": LOW, "name": "With Space"},
        {"condition": LOW, "priority": "critical"},
        {"condition": LOW, "site": "*"},
        {"condition": LOW, "escalates_after_s": 0},
    ],
)
async def test_what_is_no_rule_is_refused(client, wrong):
    answer = await client.post(RULES, json=OFF | {"name": "new"} | wrong)
    assert answer.status_code == 422, answer.text


async def test_a_name_stands_for_one_kind(client):
    answer = await client.post(RULES, json=OFF | {"site": "hamburg", "condition": {"kind": "sensor_bad"}})
    assert answer.status_code == 409
    assert "is of kind rul_low" in answer.json()["detail"]


@pytest.fixture
def life(recorder, clock):
    """An engine that was near its end a month and a half ago and a week ago, and another one that never was."""
    recorder.engine("E-1", q50=110.0)
    recorder.engine("E-2", q50=110.0, gateway="gw-2", site="bremen")
    cycles = iter(range(2, 100))
    for q50, days in ((10.0, 2), (110.0, 38), (10.0, 3), (110.0, 2), (10.0, 2)):
        for _ in range(3):
            recorder.send(recorder.prediction("E-1", next(cycles), q50=q50))
        clock.advance(days * 86_400)
    recorder.send(recorder.prediction("E-1", 99, q50=90.0, origin="command", request_id="r"))


@pytest.mark.usefixtures("life")
async def test_a_rule_is_tried_on_what_was_recorded(client):
    answer = (await client.post(f"{RULES}/simulations", json={"condition": LOW, "days": 30})).json()
    assert (answer["engines"], answer["records"], answer["next"]) == (2, 9, None)
    assert [(one["engine"], one["cycle"], one["cleared_at"] is None) for one in answer["raised"]] == [
        ("E-1", 10, False),
        ("E-1", 16, True),
    ]
    assert answer["raised"][0]["reason"].endswith("the limit is 20")
    longer = (await client.post(f"{RULES}/simulations", json={"condition": LOW, "days": 60})).json()
    assert len(longer["raised"]) == 3
    never = LOW | {"below_cycles": 1, "probability": 0.95}
    assert (await client.post(f"{RULES}/simulations", json={"condition": never, "days": 60})).json()["raised"] == []


@pytest.mark.usefixtures("life")
async def test_it_would_have_raised_what_was_raised(client):
    """By the same code: over all of time it finds the alarms that ingest has raised."""
    tried = (await client.post(f"{RULES}/simulations", json={"condition": LOW, "days": 366})).json()["raised"]
    alarms = (await client.get("/api/v1/alarms", params={"priority": "urgent", "kind": "rul_low"})).json()["items"]
    assert [alarm["times_raised"] for alarm in alarms] == [len(tried)]
    changes = (await client.get(f"/api/v1/alarms/{alarms[0]['id']}")).json()["changes"]
    assert [one["note"] for one in changes if one["action"] == "raised"] == [one["reason"] for one in tried]


async def test_rows_with_bad_sensors_are_tried_too(client, recorder):
    recorder.register("E-1")
    flagged = {"T24": ["missing"]}
    recorder.send(*(recorder.row("E-1", cycle, flags=flagged if cycle > 5 else {}) for cycle in range(1, 9)))
    for rows, expected in ((3, 1), (4, 0)):
        body = {"condition": {"kind": "sensor_bad", "rows": rows}}
        answer = (await client.post(f"{RULES}/simulations", json=body)).json()
        assert (answer["records"], len(answer["raised"])) == (8, expected)


async def test_a_decline_is_tried_as_it_was_raised(client, recorder):
    recorder.register("E-1")
    medians = [124 - 4 * min(max(0, cycle - 40), 28) for cycle in range(1, 120)]
    recorder.send(*(recorder.prediction("E-1", cycle, q50=float(q50)) for cycle, q50 in enumerate(medians, 1)))
    body = {"condition": {"kind": "fast_decline"}}
    tried = (await client.post(f"{RULES}/simulations", json=body)).json()["raised"]
    query = {"kind": "fast_decline"}
    (alarm,) = (await client.get("/api/v1/alarms", params=query)).json()["items"]
    assert [(one["cycle"], one["reason"]) for one in tried] == [(alarm["cycle"], alarm["reason"])]
    assert (tried[0]["cleared_at"] is None, alarm["state"]) == (False, "cleared")


@pytest.mark.usefixtures("life")
async def test_a_large_fleet_is_tried_in_parts(client):
    body, seen = {"condition": LOW, "limit": 1, "days": 60}, []
    while True:
        answer = (await client.post(f"{RULES}/simulations", json=body)).json()
        seen.append((answer["engines"], len(answer["raised"])))
        if answer["next"] is None:
            break
        body["cursor"] = answer["next"]
    assert seen == [(1, 3), (1, 0)]


async def test_what_no_record_tells_of_cannot_be_tried(client):
    answer = await client.post(f"{RULES}/simulations", json={"condition": {"kind": "gateway_offline"}})
    assert answer.status_code == 422
