"""GET /fleet."""

import httpx
import pytest

from aggregator.api.app import create_app
from aggregator.fleet.bands import Thresholds


async def test_an_empty_fleet_counts_nothing(client):
    fleet = (await client.get("/api/v1/fleet")).json()
    assert set(fleet["counts"].values()) == {0}
    assert set(fleet["rul"].values()) == {None}


async def test_the_fleet_counts_bands_and_beside_them_links(client, recorder):
    recorder.engine("E-1", q50=10)
    recorder.engine("E-2", q50=30)
    recorder.engine("E-3", q50=90, gateway="gw-2")
    recorder.register("E-4")
    recorder.status("heartbeat")
    recorder.status("will", gateway="gw-2")
    fleet = (await client.get("/api/v1/fleet")).json()
    assert fleet["counts"] == {
        "total": 4,
        "critical": 1,
        "warning": 1,
        "healthy": 1,
        "unknown": 1,
        "online": 3,
        "stale": 0,
        "offline": 1,
        "never_seen": 0,
    }
    assert fleet["thresholds"] == {"quantile": "q50", "critical_below_cycles": 20, "warning_below_cycles": 50}
    assert fleet["rul"]["median"] == {"cycles": 30.0, "at_cap": False}
    assert fleet["rul"]["mean"]["cycles"] == pytest.approx(130 / 3)
    assert [fleet["rul"][each]["cycles"] for each in ("p05", "p25", "p75", "p95")] == [12.0, 20.0, 60.0, 84.0]


async def test_p7_at_the_cap_the_averages_say_at_least(client, recorder):
    recorder.engine("E-1", q50=130)
    fleet = (await client.get("/api/v1/fleet")).json()
    assert fleet["rul"]["median"] == {"cycles": 125.0, "at_cap": True}
    (engine,) = (await client.get("/api/v1/engines")).json()["items"]
    assert engine["rul"]["q50_cycles"] == 130.0
    assert engine["rul"]["at_cap"] == {"mean": True, "q05": False, "q50": True, "q95": True}


async def test_retired_engines_are_not_of_the_fleet(client, recorder, store):
    recorder.engine("E-1")
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE engine SET status = 'retired'")
    assert (await client.get("/api/v1/fleet")).json()["counts"]["total"] == 0


async def test_what_somebody_changes_shows_at_once_in_what_is_told_of_all(client, recorder, clock):
    async def counted():
        counts = (await client.get("/api/v1/fleet")).json()["counts"]
        return counts["total"], counts["online"]

    recorder.engine("E-1")
    recorder.status("heartbeat")
    clock.advance(10)
    assert await counted() == (1, 1)
    installed = (await client.get("/api/v1/engines/E-1")).json()["installation"]["id"]
    ended = {"installed_to": clock().isoformat()}
    assert (await client.patch(f"/api/v1/installations/{installed}", json=ended)).status_code == 200
    assert await counted() == (1, 0)
    assert (await client.post("/api/v1/engines", json={"serial": "E-2", "site": "hamburg"})).status_code == 201
    assert await counted() == (2, 0)
    hung = {"engine": "E-2", "gateway": "gw-1", "position": "7"}
    assert (await client.post("/api/v1/installations", json=hung)).status_code == 201
    assert await counted() == (2, 1)
    assert (await client.patch("/api/v1/engines/E-2", json={"status": "retired"})).status_code == 200
    assert await counted() == (1, 0)


async def test_the_fleet_is_read_in_one_statement_however_large_it_is(client, recorder, statements):
    for number in range(12):
        recorder.engine(f"E-{number}", gateway=f"gw-{number % 3}")
    statements.clear()
    await client.get("/api/v1/fleet")
    assert len(statements) == 1


@pytest.mark.parametrize(("query", "total"), [({"site": "kiel"}, 1), ({"type": "turbofan"}, 2), ({"type": "pump"}, 0)])
async def test_a_part_of_the_fleet_is_counted(client, recorder, query, total):
    recorder.engine("E-1")
    recorder.engine("E-2", gateway="gw-2", site="kiel")
    assert (await client.get("/api/v1/fleet", params=query)).json()["counts"]["total"] == total


async def test_the_bands_go_by_the_thresholds_that_are_set(store, ingest, clock, recorder):
    recorder.engine("E-1", q50=90)  # and q05 is 70
    recorder.engine("E-2", q50=130)
    app = create_app(store, ingest, clock, thresholds=Thresholds(60, 75, "q05"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        fleet = (await client.get("/api/v1/fleet")).json()
        warned = (await client.get("/api/v1/engines", params={"band": "warning"})).json()["items"]
        detail = (await client.get("/api/v1/engines/E-1")).json()
    assert fleet["thresholds"] == {"quantile": "q05", "critical_below_cycles": 60, "warning_below_cycles": 75}
    assert (fleet["counts"]["warning"], fleet["counts"]["healthy"]) == (1, 1)
    assert [(engine["serial"], engine["band"]) for engine in warned] == [("E-1", "warning")]
    assert detail["band"] == "warning"
