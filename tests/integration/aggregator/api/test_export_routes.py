"""Histories as few points, of some channels, and as CSV."""

import csv
import io

import pytest
from sqlalchemy import event

from aggregator.api.routes import files


@pytest.fixture
def life(recorder):
    recorder.register("E-1")
    for cycle in range(1, 11):
        channels = {"T24": 600.0 + cycle, "P30": None if cycle > 5 else 550.0}
        recorder.send(recorder.row("E-1", cycle, channels), recorder.prediction("E-1", cycle, q50=100.0 - cycle))


async def read(client, path, **query):
    answer = await client.get(f"/api/v1/engines/E-1/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.usefixtures("life")
async def test_rows_as_few_points(client):
    low, high = (await read(client, "telemetry/buckets", buckets=2)).json()
    assert (low["first_cycle"], low["last_cycle"], low["rows"]) == (1, 5, 5)
    assert low["channels"] == {
        "T24": {"min": 601.0, "max": 605.0, "mean": 603.0},
        "P30": {"min": 550.0, "max": 550.0, "mean": 550.0},
    }
    assert high["channels"]["P30"] is None
    (only,) = (await read(client, "telemetry/buckets", buckets=1, channel="T24", from_cycle=9)).json()
    assert only["channels"] == {"T24": {"min": 609.0, "max": 610.0, "mean": 609.5}}


@pytest.mark.usefixtures("life")
async def test_predictions_as_few_points(client):
    points = (await read(client, "predictions/buckets", to_cycle=3)).json()
    assert [point["rul_q50_cycles"]["mean"] for point in points] == [99.0, 98.0, 97.0]


async def test_every_form_of_a_history_is_cut_by_time(client, recorder, clock):
    recorder.register("E-1")
    for cycle in range(1, 6):
        recorder.send(recorder.row("E-1", cycle), recorder.prediction("E-1", cycle))
        clock.advance(60)
    for kind in ("telemetry", "predictions"):
        for since, until, expected in (("12:01:00", "12:03:00", [2, 3]), ("12:03:00", None, [4, 5])):
            times = {"since": f"2026-11-21T{since}Z"} | ({"until": f"2026-11-21T{until}Z"} if until else {})
            items = (await read(client, kind, **times)).json()["items"]
            assert [item["cycle"] for item in items] == expected
            lines = list(csv.DictReader(io.StringIO((await read(client, f"{kind}.csv", **times)).text)))
            assert [int(line["cycle"]) for line in lines] == expected
            points = (await read(client, f"{kind}/buckets", **times)).json()
            assert [point["first_cycle"] for point in points] == expected
        (first,) = (await read(client, f"{kind}/buckets", until="2026-11-21T13:01:00+01:00")).json()
        assert (first["first_cycle"], first["rows"]) == (1, 1)


@pytest.mark.usefixtures("life")
async def test_rows_of_some_channels(client):
    items = (await read(client, "telemetry", channel=["P30", "Nf"])).json()["items"]
    assert [item["channels"] for item in items[4:6]] == [{"P30": 550.0}, {"P30": None}]


@pytest.mark.usefixtures("life")
async def test_rows_as_csv(client):
    answer = await read(client, "telemetry.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="E-1-telemetry.csv"'
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert [line["T24"] for line in lines] == [f"{600.0 + cycle}" for cycle in range(1, 11)]
    assert [line["P30"] for line in lines[4:6]] == ["550.0", ""]
    assert lines[0]["observed_at"] == "2026-11-21T12:00:00+00:00"


@pytest.mark.parametrize("rows", [files.PORTION - 1, files.PORTION, 2 * files.PORTION + 1])
async def test_a_file_of_several_portions_has_each_row_once(client, recorder, rows):
    recorder.register("E-1")
    recorder.send(*(recorder.row("E-1", cycle, {"T24": 1.0}) for cycle in range(1, rows + 1)))
    lines = (await read(client, "telemetry.csv")).text.splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == [str(cycle) for cycle in range(1, rows + 1)]


async def test_a_channel_that_only_later_rows_have_is_a_column_too(client, recorder):
    recorder.register("E-1")
    rows = [recorder.row("E-1", cycle, {"T24": 1.0}) for cycle in range(1, files.PORTION + 1)]
    recorder.send(*rows, recorder.row("E-1", files.PORTION + 1, {"P30": 550.0, "T24": 2.0}))
    lines = list(csv.DictReader(io.StringIO((await read(client, "telemetry.csv")).text)))
    assert [(line["T24"], line["P30"]) for line in lines[-2:]] == [("1.0", ""), ("2.0", "550.0")]
    assert "P30" not in (await read(client, "telemetry.csv", to_cycle=files.PORTION)).text


async def test_no_row_comes_in_between_with_a_channel_that_is_no_column(client, recorder, store):
    recorder.register("E-1")
    recorder.send(*(recorder.row("E-1", cycle, {"T24": 1.0}) for cycle in range(1, files.PORTION + 2)))
    late = []

    def come_between(connection, cursor, statement, parameters, *_):
        if "LIMIT" in statement and "FROM telemetry" in statement and not late:
            late.append(recorder.row("E-1", files.PORTION + 2, {"T24": 2.0, "P30": 550.0}))
            recorder.send(*late)

    event.listen(store.engine, "before_cursor_execute", come_between)
    lines = (await read(client, "telemetry.csv")).text.splitlines()
    assert late
    assert len(lines) == 1 + files.PORTION + 1
    assert "P30" in (await read(client, "telemetry.csv")).text


@pytest.mark.usefixtures("life")
async def test_predictions_as_csv(client):
    answer = await read(client, "predictions.csv", from_cycle=4, to_cycle=5)
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(line["cycle"], line["rul_q50_cycles"], line["model"]) for line in lines] == [
        ("4", "96.0", "turbofan"),
        ("5", "95.0", "turbofan"),
    ]


async def test_no_spreadsheet_takes_a_channel_for_a_formula(client, recorder):
    recorder.register("E-1")
    recorder.send(recorder.row("E-1", 1, {"=cmd()": 1.0}))
    assert (await read(client, "telemetry.csv")).text.splitlines()[0].endswith(",'=cmd()")


PATHS = ["telemetry/buckets", "predictions/buckets", "telemetry.csv", "predictions.csv"]


@pytest.mark.parametrize("path", PATHS)
async def test_of_an_engine_without_history_there_is_nothing_and_of_none_there_is_no_history(client, recorder, path):
    recorder.register("E-1")
    answer = await read(client, path)
    assert len(answer.text.splitlines() if path.endswith("csv") else answer.json()) == path.endswith("csv")
    assert (await client.get(f"/api/v1/engines/E-9/{path}")).status_code == 404
    assert (await client.get(f"/api/v1/engines/E-1/{path}", params={"from_cycle": 0})).status_code == 422
