"""Real rows → agent → real mosquitto → aggregator → API, and what the API says is what the model says offline."""

import math
import os
from base64 import b64decode
from itertools import islice
from pathlib import Path

import pytest

from shared.cmapss import CHANNELS, open_lines, parse_line
from simulators.engine_model import SimulatedEngine

ENGINES = 3


@pytest.fixture
def lives():
    """Rows (unit, cycle, values) of some engines: C-MAPSS where its folder is named, else the engine model's."""
    folder = os.environ.get("SPOOLWATCH_CMAPSS_DIR")
    if folder:
        rows = map(parse_line, open_lines(Path(folder) / "train_FD001.txt.gz"))
        return [row for row in rows if row.unit <= ENGINES]
    return [
        (unit, cycle, values)
        for unit in range(1, ENGINES + 1)
        for cycle, values, _ in islice(SimulatedEngine(f"E-{unit}", seed=unit).rows(), 200)
    ]


def test_the_api_says_value_for_value_what_the_model_says_offline(aggregator, make_agent, lives, offline, wait_until):
    serials = [f"E-{unit}" for unit in range(1, ENGINES + 1)]
    for position, serial in enumerate(serials, start=1):
        aggregator.register(serial, "gw-1", position=str(position))
    agent = make_agent(serials=serials)
    agent.feed(*lives)
    agent.start()

    expected = offline(lives)
    wait_until(
        lambda: sum(len(aggregator.history(serial, "predictions")) for serial in serials) == len(expected),
        f"{len(expected)} predictions are committed",
    )
    for serial in serials:
        predictions = aggregator.pages(f"/engines/{serial}/predictions", limit=500, include="input")
        assert {item["cycle"] for item in predictions} == {cycle for name, cycle in expected if name == serial}
        for item in predictions:
            rul, tensor = expected[serial, item["cycle"]]
            assert {name: item["rul"][name] for name in rul} == rul
            assert b64decode(item["input"]) == tensor
        telemetry = {item["cycle"]: item["channels"] for item in aggregator.history(serial, "telemetry")}
        for unit, cycle, values in lives:
            if f"E-{unit}" == serial:
                assert telemetry[cycle] == dict(zip(CHANNELS, values, strict=True))

    fleet = aggregator.api.get("/fleet").json()
    assert fleet["counts"]["total"] == ENGINES
    assert aggregator.pages("/quarantine") == []
    assert agent.stop() == 0
    assert agent.status()["outbox"]["unacked"] == 0


def test_rows_with_holes_and_bad_lines_are_told_and_kept_and_nothing_stops(aggregator, make_agent, wait_until):
    aggregator.register("E-1", "gw-1")
    agent = make_agent()
    rows = list(islice(SimulatedEngine("E-1", seed=3).rows(), 30))
    cycle, values, _ = rows[10]
    holes = dict.fromkeys(("T24", "P30"), math.nan)
    agent.feed(*((1, cycle, values) for cycle, values, _ in rows[:10]))
    agent.feed((1, cycle, [holes.get(name, value) for name, value in zip(CHANNELS, values, strict=True)]))
    with agent.rows.open("a") as file:
        file.write("1 12 only three\n")
    agent.feed((1, 13, [math.nan] * len(values)))
    agent.feed(*((1, cycle, values) for cycle, values, _ in rows[13:]))
    agent.start()

    telemetry = wait_until(
        lambda: (found := aggregator.history("E-1", "telemetry")) and len(found) == 29 and found, "29 rows are there"
    )
    holed = next(item for item in telemetry if item["cycle"] == 11)
    assert holed["channels"]["T24"] is None
    assert holed["flags"]["T24"] == ["missing"]
    refused = next(item for item in telemetry if item["cycle"] == 13)
    assert "missing" in refused["refusal"]
    predicted = {item["cycle"]: item for item in aggregator.history("E-1", "predictions")}
    assert set(predicted) == set(range(1, 31)) - {12, 13}
    assert predicted[11]["flags"]["T24"] == ["missing"]
    status = agent.status()
    assert status["refused_rows"] == 1
    last_error = wait_until(lambda: agent.status()["last"]["status"]["source"]["last_error"], "the status file tells")
    assert "columns" in last_error
