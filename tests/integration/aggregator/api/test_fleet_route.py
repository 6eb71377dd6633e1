"""GET /fleet."""

import pytest


async def test_an_empty_fleet_counts_nothing(client):
    fleet = (await client.get("/api/v1/fleet")).json()
    assert set(fleet["counts"].values()) == {0}
    assert fleet["rul"] == {"mean": None, "median": None}
    assert fleet["engines"] == []


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
    assert [engine["serial"] for engine in fleet["engines"]] == ["E-1", "E-2", "E-3", "E-4"]


async def test_p7_at_the_cap_the_averages_say_at_least(client, recorder):
    recorder.engine("E-1", q50=130)
    fleet = (await client.get("/api/v1/fleet")).json()
    assert fleet["rul"]["median"] == {"cycles": 125.0, "at_cap": True}
    assert fleet["engines"][0]["rul"]["q50_cycles"] == 130.0
    assert fleet["engines"][0]["rul"]["at_cap"] == {"mean": True, "q05": False, "q50": True, "q95": True}


async def test_retired_engines_are_not_of_the_fleet(client, recorder, store):
    recorder.engine("E-1")
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE engine SET status = 'retired'")
    assert (await client.get("/api/v1/fleet")).json()["counts"]["total"] == 0


async def test_the_fleet_is_read_in_one_statement_however_large_it_is(client, recorder, statements):
    for number in range(12):
        recorder.engine(f"E-{number}", gateway=f"gw-{number % 3}")
    statements.clear()
    await client.get("/api/v1/fleet")
    assert len(statements) == 1
