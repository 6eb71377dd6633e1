"""GET /fleet/due: who needs work before a date, at which confidence."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

DAY_S = 86_400


@pytest.fixture
def fleet(recorder, clock):
    """Engines that fly 4 cycles a day for 10 days; E-4 has flown for an hour only, E-5 has no prediction."""
    for serial in ("E-1", "E-2", "E-3", "E-4", "E-5"):
        recorder.register(serial)
    for day in range(11):
        recorder.send(*(recorder.row(serial, 1 + 4 * day) for serial in ("E-1", "E-2", "E-3", "E-5")))
        clock.advance(DAY_S if day < 10 else 0)
    recorder.send(recorder.row("E-4", 1))
    recorder.send(
        recorder.prediction("E-1", 41, q50=40, spread=20),
        recorder.prediction("E-2", 41, q50=28, spread=12),
        recorder.prediction("E-3", 41, q50=140, spread=10),
        recorder.prediction("E-4", 1, q50=40),
    )
    recorder.status("heartbeat")


async def due(client, **query):
    answer = await client.get("/api/v1/fleet/due", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("query", "serials", "counts"),
    [
        ({"before": "2026-12-05"}, [], (0, 3, 2)),  # the earliest is due on the 5th, at noon
        ({"before": "2026-12-06"}, ["E-2"], (1, 2, 2)),
        ({"before": "2026-12-07"}, ["E-2", "E-1"], (2, 1, 2)),
        ({"before": "2026-12-09", "confidence": 0.5}, ["E-2"], (1, 2, 2)),
        ({"before": "2026-12-12", "confidence": 0.5}, ["E-2", "E-1"], (2, 1, 2)),
        ({"before": "2027-12-12"}, ["E-2", "E-1"], (2, 0, 3)),
        ({"before": "2027-12-12", "site": "kiel"}, [], (0, 0, 0)),
        ({"before": "2027-12-12", "type": "turbofan"}, ["E-2", "E-1"], (2, 0, 3)),
    ],
)
async def test_who_is_due_is_listed_by_date_and_the_rest_is_counted(client, query, serials, counts):
    page = await due(client, **query)
    assert [one["serial"] for one in page["items"]] == serials
    assert tuple(page["counts"].values()) == counts


@pytest.mark.usefixtures("fleet")
async def test_an_engine_that_is_due_says_by_what_and_when_to_order(client):
    (first, _) = (await due(client, before="2026-12-07", lead_time_days=5))["items"]
    assert first["utilisation"] == {"cycles_per_day": 4.0, "source": "measured"}
    assert first["due"] == {"at": "2026-12-05T12:00:00Z", "cycles": 16.0, "not_before": False}
    assert (first["order_by"], first["order_late"]) == ("2026-11-30T12:00:00Z", True)


@pytest.mark.usefixtures("fleet")
async def test_p7_of_whom_nobody_can_tell_says_why(client):
    page = await due(client, before="2027-12-12", verdict="undetermined")
    assert [(one["serial"], one["doubt"]) for one in page["items"]] == [
        ("E-3", "at_cap"),
        ("E-4", "no_utilisation"),
        ("E-5", "no_prediction"),
    ]
    assert page["items"][0]["due"]["not_before"] is True


@pytest.mark.usefixtures("fleet")
async def test_the_list_comes_in_pages(client):
    first = await client.get("/api/v1/fleet/due", params={"before": "2026-12-07", "limit": 1})
    second = await client.get(first.links["next"]["url"])
    assert [page.json()["items"][0]["serial"] for page in (first, second)] == ["E-2", "E-1"]
    assert second.json()["next"] is None


@pytest.mark.usefixtures("fleet")
async def test_what_a_person_enters_goes_before_what_is_measured(client):
    assert (await due(client, before="2026-12-12"))["counts"]["due"] == 2
    engine = (await client.patch("/api/v1/engines/E-4", json={"cycles_per_day": 2})).json()
    assert engine["utilisation"] == {"cycles_per_day": 2.0, "source": "entered"}
    assert engine["due"]["q05"] == {"at": "2026-12-11T12:00:00Z", "cycles": 20.0, "not_before": False}
    assert (await due(client, before="2026-12-12"))["counts"]["due"] == 3
    engine = (await client.patch("/api/v1/engines/E-4", json={"cycles_per_day": None, "type": "turbofan"})).json()
    assert (engine["utilisation"], engine["due"]["q05"]) == (None, None)
    assert (await client.patch("/api/v1/engines/E-1", json={"type": "turbofan"})).json()["utilisation"] is not None


@pytest.mark.usefixtures("fleet")
async def test_one_that_stands_still_is_not_due_sooner_one_that_is_silent_is_taken_to_fly_on(client, recorder, clock):
    clock.advance(3 * DAY_S)
    silent = (await client.get("/api/v1/engines/E-1")).json()
    recorder.status("heartbeat")
    standing = (await client.get("/api/v1/engines/E-1")).json()
    assert (silent["liveness"]["state"], standing["liveness"]["state"]) == ("stale", "online")
    assert silent["due"]["q05"]["at"] == "2026-12-06T12:00:00Z"
    assert standing["due"]["q05"]["at"] == "2026-12-09T12:00:00Z"


@pytest.mark.usefixtures("fleet")
async def test_cycles_flown_since_the_last_prediction_are_gone(client, recorder):
    recorder.send(recorder.row("E-1", 45, refusal="too few channels"))
    assert (await client.get("/api/v1/engines/E-1")).json()["due"]["q05"]["cycles"] == 16.0


@pytest.mark.usefixtures("fleet")
async def test_a_retired_engine_needs_no_work(client):
    await client.patch("/api/v1/engines/E-2", json={"status": "retired"})
    page = await due(client, before="2026-12-07")
    assert [one["serial"] for one in page["items"]] == ["E-1"]


@pytest.mark.usefixtures("fleet")
async def test_the_whole_fleet_is_judged_by_one_statement_and_the_page_read_by_another(client, statements):
    statements.clear()
    await due(client, before="2026-12-07")
    assert len(statements) == 2


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"before": "tomorrow"},
        {"before": "2026-12-07", "confidence": 0.99},
        {"before": "2026-12-07", "lead_time_days": -1},
    ],
)
async def test_a_question_that_means_nothing_is_refused(client, query):
    assert (await client.get("/api/v1/fleet/due", params=query)).status_code == 422


async def test_a_clock_that_is_not_to_be_trusted_measures_nothing(client, recorder, clock):
    recorder.register("E-1")
    for cycle in (1, 9):
        recorder.send(recorder.row("E-1", cycle, clock_unsynced=True))
        clock.advance(2 * DAY_S)
    assert (await client.get("/api/v1/engines/E-1")).json()["utilisation"] is None


@pytest.mark.usefixtures("fleet")
async def test_an_engine_that_was_taken_down_is_due_no_more(client):
    installation = (await client.get("/api/v1/engines/E-2")).json()["installation"]
    path = f"/api/v1/installations/{installation['id']}"
    await client.patch(path, json={"installed_to": "2026-12-01T12:00:00Z"})
    assert [one["serial"] for one in (await due(client, before="2026-12-07"))["items"]] == ["E-1"]
    undetermined = (await due(client, before="2026-12-07", verdict="undetermined"))["items"]
    assert {one["serial"]: one["doubt"] for one in undetermined}["E-2"] == "not_installed"
    assert (await client.get("/api/v1/engines/E-2")).json()["due"] == {"q05": None, "q50": None, "q95": None}


@pytest.mark.usefixtures("fleet")
async def test_what_was_measured_holds_after_weeks_without_rows_and_after_a_swap(client, recorder, clock):
    async def utilisation():
        return (await client.get("/api/v1/engines/E-1")).json()["utilisation"]

    clock.advance(40 * DAY_S)
    recorder.send(recorder.row("E-1", 50))
    assert await utilisation() == {"cycles_per_day": 4.0, "source": "measured"}
    installation = (await client.get("/api/v1/engines/E-1")).json()["installation"]
    at = clock().isoformat()
    await client.patch(f"/api/v1/installations/{installation['id']}", json={"installed_to": at})
    clock.advance(3600)
    place = {"engine": "E-1", "gateway": "gw-1", "position": "other"}
    assert (await client.post("/api/v1/installations", json=place)).status_code == 201
    clock.advance(3600)
    recorder.send(recorder.row("E-1", 1))
    assert await utilisation() == {"cycles_per_day": 4.0, "source": "measured"}
    clock.advance(2 * DAY_S)
    recorder.send(recorder.row("E-1", 13))
    assert await utilisation() == {"cycles_per_day": 6.0, "source": "measured"}


async def test_a_source_that_says_1970_is_counted_from_when_its_row_came(client, recorder, clock):
    recorder.register("E-1")
    row = recorder.row("E-1", 1)
    recorder.send(replace(row, observed_at=datetime(1970, 1, 2, tzinfo=UTC)), recorder.prediction("E-1", 1, q50=40))
    received_at = clock()
    await client.patch("/api/v1/engines/E-1", json={"cycles_per_day": 4})
    clock.advance(5 * DAY_S)
    due_at = (await client.get("/api/v1/engines/E-1")).json()["due"]["q50"]["at"]
    assert datetime.fromisoformat(due_at) == received_at + timedelta(days=10)
