"""GET /fleet/plan: when engines should come off, beside what simpler policies come to."""

import csv
import io
from datetime import date, timedelta

import pytest

from aggregator.api import plans
from aggregator.fleet.slots import SlotsError

PATH = "/api/v1/fleet/plan"
COSTS = {"unplanned_removal_cost": 500_000, "planned_removal_cost": 100_000, "wasted_cycle_cost": 500}
ASKED = COSTS | {"capacity_per_week": 1}


@pytest.fixture
async def fleet(recorder, client):
    """E-1 wears out first, then E-2; E-3 is new; E-4 has no utilisation, E-5 no prediction."""
    medians = {"E-1": 13.0, "E-2": 25.0, "E-3": 140.0, "E-4": 30.0, "E-5": None}
    for serial, median in medians.items():
        recorder.register(serial)
        recorder.send(recorder.row(serial, 1))
        if median is not None:
            recorder.send(recorder.prediction(serial, 1, q50=median, spread=4))
        if serial != "E-4":
            assert (await client.patch(f"/api/v1/engines/{serial}", json={"cycles_per_day": 1})).status_code == 200
    recorder.status("heartbeat")


async def plan(client, **query):
    answer = await client.get(PATH, params=ASKED | query)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.usefixtures("fleet")
async def test_it_says_when_which_engine_should_come_off_and_what_that_comes_to(client, clock):
    found = await plan(client)
    today = clock().date()
    first, second = found["items"]
    assert (first["serial"], first["planned_for"]) == ("E-1", str(today + timedelta(days=7)))
    assert (second["serial"], second["planned_for"]) == ("E-2", str(today + timedelta(days=14)))
    assert first["site"] == "hamburg"
    assert first["loss"] == pytest.approx(400_000 * first["fails_before"] + 500 * first["wasted_cycles"])
    assert first["wasted_cycles"] == pytest.approx(13 - 7 + 0.5, abs=0.1)
    assert found["ends"] == str(today + timedelta(days=56))
    assert found["engines"] == {
        "planned": 2,
        "left_on": 1,
        "given": 0,
        "left_out": {"no_prediction": 1, "no_utilisation": 1, "not_installed": 0, "at_cap": 0},
    }
    totals = found["totals"]
    assert totals["plan"]["loss"] == pytest.approx(first["loss"] + second["loss"])
    assert totals["plan"]["loss"] <= totals["repair_at_q05"]["loss"] < totals["run_to_failure"]["loss"]
    assert totals["run_to_failure"]["unplanned_removals"] == pytest.approx(2, abs=0.01)


@pytest.mark.usefixtures("fleet")
async def test_what_is_asked_for_decides(client):
    cases = [
        ({"capacity_per_week": 0}, []),
        ({"weeks": 1}, []),
        ({"weeks": 2}, ["E-1"]),
        ({"lead_time_days": 20}, ["E-2"]),
        ({"site": "kiel"}, []),
        ({"type": "turbofan", "site": "hamburg"}, ["E-1", "E-2"]),
        ({"unplanned_removal_cost": 100_000}, []),
        ({"unplanned_removal_cost": 1e12}, ["E-1", "E-2"]),
        ({name: cost * 1e-9 for name, cost in COSTS.items()}, ["E-1", "E-2"]),
        ({"first_day": "2000-01-01"}, []),
        ({"first_day": "2199-12-31"}, []),
    ]
    for query, serials in cases:
        assert [one["serial"] for one in (await plan(client, **query))["items"]] == serials, query


@pytest.mark.usefixtures("fleet")
async def test_a_work_order_with_a_day_keeps_it_and_one_without_is_named(client, clock):
    day = clock().date() + timedelta(days=7)
    order = {"engine": "E-2", "reason": "a crack", "planned_for": str(day)}
    assert (await client.post("/api/v1/work-orders", json=order)).status_code == 201
    undated = (await client.post("/api/v1/work-orders", json={"engine": "E-1", "reason": "vibration"})).json()
    found = await plan(client)
    (only,) = found["items"]
    assert (only["serial"], only["work_order_id"]) == ("E-1", undated["id"])
    assert date.fromisoformat(only["planned_for"]) == clock().date()  # the next week is taken
    assert found["engines"]["given"] == 1
    await client.post(f"/api/v1/work-orders/{undated['id']}/start")
    found = await plan(client)
    assert (found["items"], found["engines"]["given"]) == ([], 2)


@pytest.mark.usefixtures("fleet")
async def test_engines_that_are_not_in_operation_are_not_planned_for(client):
    await client.patch("/api/v1/engines/E-1", json={"status": "maintenance"})
    assert [one["serial"] for one in (await plan(client))["items"]] == ["E-2"]


@pytest.mark.usefixtures("fleet")
async def test_p8_only_engines_and_work_at_ones_sites_count(app, client, recorder, bearer, clock):
    app.state.centre.authenticator.forget()  # that there were no accounts
    recorder.register("E-9", gateway="gw-9", site="kiel")
    recorder.send(recorder.prediction("E-9", 1, q50=12.0, spread=4), gateway="gw-9", site="kiel")
    root = bearer()
    assert (await client.patch("/api/v1/engines/E-9", json={"cycles_per_day": 1}, headers=root)).status_code == 200
    day = clock().date() + timedelta(days=7)
    order = {"engine": "E-9", "reason": "a crack", "planned_for": str(day)}
    for at, left_on in (("hamburg", 1), ("kiel", 0)):
        answer = await client.get(PATH, params=ASKED, headers=bearer(f"viewer@{at}"))
        assert {one["site"] for one in answer.json()["items"]} == {at}
        assert answer.json()["engines"]["left_on"] == left_on
    assert (await client.post("/api/v1/work-orders", json=order, headers=root)).status_code == 201
    answer = await client.get(PATH, params=ASKED, headers=bearer("viewer@hamburg"))
    assert answer.json()["items"][0]["planned_for"] == str(day)


@pytest.mark.usefixtures("fleet")
async def test_the_same_as_csv(client):
    items = (await plan(client))["items"]
    answer = await client.get(f"{PATH}.csv", params=ASKED)
    assert answer.headers["content-disposition"] == 'attachment; filename="plan.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["serial"] for row in rows] == [item["serial"] for item in items]
    assert list(rows[0]) == list(items[0])
    assert (rows[0]["planned_for"], float(rows[0]["loss"])) == (items[0]["planned_for"], items[0]["loss"])
    some = await client.get(f"{PATH}.csv", params=ASKED | {"fields": "planned_for,serial"})
    assert some.text.splitlines()[0] == "serial,planned_for"


async def test_a_question_that_means_nothing_is_refused(client):
    wrong = [
        {"capacity_per_week": -1},
        {"capacity_per_week": ""},
        {"weeks": 0},
        {"unplanned_removal_cost": 99_999},
        {"wasted_cycle_cost": "nan"},
        {"first_day": "monday"},
        {"first_day": "9999-12-31"},
    ]
    for query in wrong:
        assert (await client.get(PATH, params=ASKED | query)).status_code == 422, query


async def test_a_plan_that_takes_too_long_is_said_to(client, monkeypatch):
    def too_long(*_):
        raise SlotsError("no best plan was found in 20 s; ask for fewer weeks")

    monkeypatch.setattr(plans, "make_plan", too_long)
    answer = await client.get(PATH, params=ASKED)
    assert answer.status_code == 503
    assert answer.json()["detail"] == "There is no plan: no best plan was found in 20 s; ask for fewer weeks."
