"""Alarms over the API: lists, details, and what people do about them."""

import csv
import io

import pytest

from aggregator.store.absence import look_at_gateways

ALARMS = "/api/v1/alarms"


@pytest.fixture
def wear(recorder):
    """Have an engine say three times that little is left of it, which raises two alarms; or that all is well."""
    cycles = iter(range(2, 1000))

    def send(serial="E-1", q50=10.0, **place):
        for _ in range(3):
            recorder.send(recorder.prediction(serial, next(cycles), q50=q50), **place)

    return send


@pytest.fixture
def worn(recorder, wear):
    recorder.engine("E-1")
    wear()


@pytest.fixture
async def urgent(client, worn):
    (alarm,) = (await client.get(ALARMS, params={"priority": "urgent"})).json()["items"]
    return alarm


@pytest.mark.usefixtures("worn")
async def test_an_alarm_says_what_was_seen(client, urgent, clock):
    assert {name: urgent[name] for name in ("rule", "kind", "state", "engine", "gateway", "site", "cycle")} == {
        "rule": "rul-critical",
        "kind": "rul_low",
        "state": "active",
        "engine": "E-1",
        "gateway": None,
        "site": "hamburg",
        "cycle": 4,
    }
    assert urgent["reason"].startswith("with a probability of 5 % no more than 0.0 cycles are left")
    details = (await client.get(f"{ALARMS}/{urgent['id']}")).json()
    (change,) = details.pop("changes")
    assert details == urgent
    assert (change["who"], change["action"], change["note"]) == ("the centre", "raised", urgent["reason"])


async def test_lists_are_filtered_and_in_pages(client, recorder, wear, store, clock):
    for number in (1, 2, 3):
        recorder.engine(f"E-{number}", gateway=f"gw-{number}")
        wear(f"E-{number}", gateway=f"gw-{number}")
    recorder.engine("E-b", gateway="gw-b", site="bremen")
    recorder.status(gateway="gw-b", site="bremen")
    clock.advance(10_000)
    look_at_gateways(store, clock())

    async def ask(**query):
        items, url = [], ALARMS
        params = {"limit": 2} | query
        while url:
            answer = await client.get(url, params=params)
            assert answer.status_code == 200, answer.text
            items += answer.json()["items"]
            url, params = (answer.links["next"]["url"], None) if "next" in answer.links else (None, None)
        return items

    everything = await ask()
    assert [one["id"] for one in everything] == sorted((one["id"] for one in everything), reverse=True)
    assert len(everything) == 2 * 3 + 4
    assert {one["engine"] for one in await ask(engine="E-2")} == {"E-2"}
    (offline,) = await ask(gateway="gw-b")
    assert (offline["kind"], offline["engine"], offline["site"]) == ("gateway_offline", None, "bremen")
    assert await ask(site="bremen") == [offline]
    assert len(await ask(kind="rul_low", priority="urgent")) == 3
    assert await ask(engine="E-nowhere") == []
    assert len(await ask(state="open", acknowledged="false", shelved="false")) == len(everything)
    assert await ask(state="closed") == await ask(shelved="true") == await ask(state="cleared") == []


async def test_acknowledged_and_cleared_it_is_closed_whichever_comes_first(client, urgent, wear):
    path = f"{ALARMS}/{urgent['id']}"
    acknowledged = (await client.post(f"{path}/acknowledgement")).json()
    assert (acknowledged["state"], acknowledged["acknowledged_by"]) == ("active", "anyone")
    wear(q50=110.0)
    details = (await client.get(path)).json()
    assert (details["state"], [one["action"] for one in details["changes"]]) == (
        "closed",
        ["raised", "acknowledged", "cleared"],
    )
    (other,) = (await client.get(ALARMS, params={"state": "open"})).json()["items"]
    assert (other["rule"], other["state"]) == ("rul-low", "cleared")
    closed = (await client.post(f"{ALARMS}/{other['id']}/acknowledgement")).json()
    assert closed["state"] == "closed"
    assert (await client.get(ALARMS, params={"state": "open"})).json()["items"] == []


async def test_to_acknowledge_it_twice_changes_nothing(client, urgent, clock):
    path = f"{ALARMS}/{urgent['id']}/acknowledgement"
    first = (await client.post(path)).json()
    clock.advance(60)
    assert (await client.post(path)).json() == first


async def test_many_are_acknowledged_at_once(client, recorder, wear, worn):
    ids = [one["id"] for one in (await client.get(ALARMS)).json()["items"]]
    await client.post(f"{ALARMS}/{ids[0]}/acknowledgement")
    answer = await client.post(f"{ALARMS}/acknowledgements", json={"ids": [*ids, 999]})
    assert answer.json() == {"ids": ids[1:]}
    assert (await client.get(ALARMS, params={"acknowledged": "false"})).json()["items"] == []


async def test_p8_of_many_those_of_other_sites_are_left_alone(client, urgent, bearer, clock):
    found = {}
    for grants in (("technician@bremen",), ("viewer@hamburg", "technician@bremen"), ("technician@hamburg",)):
        headers = bearer(*grants)
        clock.advance(10)  # until then the centre believes that nobody has an account
        answer = await client.post(f"{ALARMS}/acknowledgements", json={"ids": [urgent["id"]]}, headers=headers)
        found[grants] = answer.json()["ids"]
    assert list(found.values()) == [[], [], [urgent["id"]]]


async def test_a_shelved_one_comes_back_by_itself(client, urgent, clock):
    path = f"{ALARMS}/{urgent['id']}/shelving"
    until = clock.in_(3600)
    shelved = await client.post(path, json={"until": until.isoformat()})
    assert shelved.json()["shelved_until"] == "2026-11-21T13:00:00Z"

    async def on_the_shelf():
        return [one["id"] for one in (await client.get(ALARMS, params={"shelved": "true"})).json()["items"]]

    assert await on_the_shelf() == [urgent["id"]]
    clock.advance(3601)
    assert await on_the_shelf() == []
    await client.post(path, json={"until": clock.in_(60).isoformat()})
    assert (await client.delete(path)).json()["shelved_until"] is None
    assert await on_the_shelf() == []


@pytest.mark.parametrize("ahead_s", [0, -1, 30 * 86_400 + 1])
async def test_it_is_shelved_for_a_month_at_most(client, urgent, clock, ahead_s):
    answer = await client.post(f"{ALARMS}/{urgent['id']}/shelving", json={"until": clock.in_(ahead_s).isoformat()})
    assert (answer.status_code, answer.json()["errors"][0]["location"]) == (422, "body.until")


async def test_a_person_has_the_last_word_on_how_urgent_it_is(client, urgent, clock, bearer):
    path, headers = f"{ALARMS}/{urgent['id']}", bearer("technician@hamburg")
    assert (urgent["priority_at"], urgent["priority_set_by"]) == (urgent["raised_at"], None)
    clock.advance(60)
    wanted = {"priority": "low", "reason": "the engine is on the ground"}
    set_ = (await client.put(f"{path}/priority", json=wanted, headers=headers)).json()
    assert (set_["priority"], set_["priority_at"]) == ("low", "2026-11-21T12:01:00Z")
    assert set_["priority_set_by"] == set_["changes"][-1]["who"]
    assert (set_["changes"][-1]["action"], set_["changes"][-1]["note"]) == (
        *("prioritised", "to low: the engine is on the ground"),
    )
    for wrong in ({"priority": "low"}, wanted | {"priority": "none"}, wanted | {"reason": " "}):
        assert (await client.put(f"{path}/priority", json=wrong, headers=headers)).status_code == 422
    text = (await client.get(f"{ALARMS}.csv", params={"priority": "low"}, headers=headers)).text
    assert text.splitlines()[1].endswith(set_["priority_set_by"])


async def test_who_does_what_is_in_its_history_and_in_the_audit_log(client, urgent, bearer, clock):
    headers, path = bearer("technician@hamburg"), f"{ALARMS}/{urgent['id']}"
    clock.advance(10)  # until then the centre believes that nobody has an account
    for action, body in (
        ("assignment", {"to": "line 3"}),
        ("comments", {"text": "oil looks dark"}),
        ("resolution", {"reason": "replaced"}),
    ):
        answer = await client.post(f"{path}/{action}", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
    details = answer.json()
    assert (details["state"], details["assigned_to"], details["resolution"]) == ("closed", "line 3", "replaced")
    told = [(one["action"], one["note"]) for one in details["changes"][1:]]
    assert told == [("assigned", "line 3"), ("commented", "oil looks dark"), ("resolved", "replaced")]
    entries = (await client.get("/api/v1/audit", headers=bearer())).json()["items"]
    by_alarm = [entry for entry in entries if entry["action"].startswith("alarm.")]
    assert [entry["action"] for entry in by_alarm] == ["alarm.resolved", "alarm.commented", "alarm.assigned"]
    assert by_alarm[0]["subject"] == "alarm rul-critical of engine E-1"
    assert by_alarm[0]["after"]["resolution"] == "replaced"
    assert {entry["who"] for entry in by_alarm} == {details["changes"][-1]["who"]} != {"anyone"}


async def test_one_that_is_closed_takes_comments_and_nothing_else(client, urgent, clock):
    path = f"{ALARMS}/{urgent['id']}"
    await client.post(f"{path}/resolution", json={"reason": "replaced"})
    for action, body in (
        ("acknowledgement", None),
        ("resolution", {"reason": "again"}),
        ("assignment", {"to": None}),
        ("shelving", {"until": clock.in_(60).isoformat()}),
    ):
        assert (await client.post(f"{path}/{action}", json=body)).status_code == 409
    assert (await client.post(f"{path}/comments", json={"text": "for the record"})).status_code == 200


async def test_what_was_resolved_and_lasts_is_raised_anew_after_as_many_predictions(client, urgent, wear, recorder):
    recorder.send(recorder.prediction("E-1", 900, q50=110.0))
    await client.post(f"{ALARMS}/{urgent['id']}/resolution", json={"reason": "no fault found"})
    recorder.send(*(recorder.prediction("E-1", cycle, q50=10.0) for cycle in (901, 902)))
    query = {"engine": "E-1", "priority": "urgent", "state": "open"}
    assert (await client.get(ALARMS, params=query)).json()["items"] == []
    recorder.send(recorder.prediction("E-1", 903, q50=10.0))
    (again,) = (await client.get(ALARMS, params=query)).json()["items"]
    assert again["id"] > urgent["id"]


async def test_nobody_acts_on_what_they_have_not_seen(client, urgent):
    path = f"{ALARMS}/{urgent['id']}"
    seen = {"If-Match": (await client.get(path)).headers["etag"]}
    first = await client.post(f"{path}/assignment", json={"to": "anna"}, headers=seen)
    assert first.status_code == 200
    late = await client.post(f"{path}/assignment", json={"to": "ben"}, headers=seen)
    assert late.status_code == 412
    assert (
        await client.post(f"{path}/assignment", json={"to": "ben"}, headers={"If-Match": first.headers["etag"]})
    ).status_code == 200


async def test_an_alarm_goes_where_its_engine_goes(client, urgent, recorder, bearer, store, clock):
    headers = bearer("engineer@hamburg", "engineer@bremen")
    clock.advance(10)  # until then the centre believes that nobody has an account
    engine = (await client.get("/api/v1/engines/E-1", headers=headers)).json()
    clock.advance(10)
    await client.patch(
        f"/api/v1/installations/{engine['installation']['id']}",
        json={"installed_to": clock().isoformat()},
        headers=headers,
    )
    assert (await client.patch("/api/v1/engines/E-1", json={"site": "bremen"}, headers=headers)).status_code == 200
    for site, expected in (("hamburg", 404), ("bremen", 200)):
        answer = await client.get(f"{ALARMS}/{urgent['id']}", headers=bearer(f"viewer@{site}"))
        assert answer.status_code == expected


@pytest.mark.usefixtures("worn")
async def test_a_file_has_what_the_list_has(client, urgent):
    await client.post(f"{ALARMS}/{urgent['id']}/assignment", json={"to": "=cmd"})
    text = (await client.get(f"{ALARMS}.csv", params={"fields": "rule,engine,assigned_to,raised_at"})).text
    assert list(csv.reader(io.StringIO(text))) == [
        ["rule", "engine", "raised_at", "assigned_to"],
        ["rul-low", "E-1", "2026-11-21T12:00:00+00:00", ""],
        ["rul-critical", "E-1", "2026-11-21T12:00:00+00:00", "'=cmd"],
    ]
    assert len((await client.get(f"{ALARMS}.csv", params={"state": "closed"})).text.splitlines()) == 1
