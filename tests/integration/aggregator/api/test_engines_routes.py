"""GET and POST /engines."""

import base64

import pytest

from aggregator.api.paging import Page
from aggregator.api.schemas.due import DuePage
from aggregator.api.schemas.engines import Engine

NEW = {"serial": "E-1", "site": "hamburg", "gateway": "gw-1", "position": "left"}


async def walk(client, **query):
    """Every page of the list, by the Link header; the serials of each."""
    pages, url = [], client.build_request("GET", "/api/v1/engines", params=query).url
    for _ in range(20):
        answer = await client.get(url)
        assert answer.status_code == 200, answer.text
        pages.append([item["serial"] for item in answer.json()["items"]])
        if "next" not in answer.links:
            assert answer.json()["next"] is None
            return pages
        assert answer.json()["next"] in answer.links["next"]["url"]
        url = answer.links["next"]["url"]
    raise AssertionError("the list has no end")


async def serials(client, **query):
    return [serial for page in await walk(client, **query) for serial in page]


@pytest.fixture
def fleet(recorder, clock):
    recorder.engine("E-1", q50=90)
    clock.advance(1)
    recorder.engine("E-2", q50=10, gateway="gw-2", site="bremen")
    clock.advance(1)
    recorder.engine("E-3", q50=30)
    recorder.register("E-4")
    recorder.engine("E-5", q50=30)


async def test_a_new_engine_is_registered_and_can_be_looked_at(client):
    answer = await client.post("/api/v1/engines", json=NEW)
    assert answer.status_code == 201
    assert answer.headers["Location"] == "/api/v1/engines/E-1"
    engine = (await client.get(answer.headers["Location"])).json()
    assert engine == answer.json()
    assert (engine["type"], engine["status"], engine["band"]) == ("turbofan", "operational", "unknown")
    assert engine["installation"]["position"] == "left"
    assert engine["liveness"] == {"state": "never_seen", "reason": "its gateway was never heard from"}


async def test_to_register_the_same_once_more_changes_nothing(client):
    first = await client.post("/api/v1/engines", json=NEW)
    again = await client.post("/api/v1/engines", json=NEW)
    assert again.status_code == 200
    assert again.json() == first.json()


@pytest.mark.parametrize("change", [{"gateway": "gw-9"}, {"position": "right"}, {"site": "bremen"}, {"type": "pump"}])
async def test_a_registration_that_contradicts_is_a_conflict(client, change):
    await client.post("/api/v1/engines", json=NEW)
    answer = await client.post("/api/v1/engines", json=NEW | change)
    assert answer.status_code == 409
    assert "registered" in answer.json()["detail"]


async def test_two_engines_cannot_hang_at_one_position(client):
    await client.post("/api/v1/engines", json=NEW)
    answer = await client.post("/api/v1/engines", json=NEW | {"serial": "E-2"})
    assert answer.status_code == 409
    assert "holds engine E-1" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("change", "location"),
    [
        ({"serial": "E 1"}, "body.serial"),
        ({"serial": "E-1\n"}, "body.serial"),
        ({"gateway": ""}, "body.gateway"),
        ({"site": "centre"}, "body"),
        ({"color": "red"}, "body.color"),
        ({"type": "\x00"}, "body.type"),
    ],
)
async def test_a_registration_that_cannot_be_is_refused_with_its_place(client, change, location):
    answer = await client.post("/api/v1/engines", json=NEW | change)
    assert answer.status_code == 422
    assert [error["location"] for error in answer.json()["errors"]] == [location]


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("serial", ["E-1", "E-2", "E-3", "E-4", "E-5"]),
        ("-serial", ["E-5", "E-4", "E-3", "E-2", "E-1"]),
        ("rul", ["E-2", "E-3", "E-5", "E-1", "E-4"]),
        ("-rul", ["E-4", "E-1", "E-5", "E-3", "E-2"]),
        ("risk", ["E-2", "E-3", "E-5", "E-1", "E-4"]),
        ("last_seen", ["E-4", "E-1", "E-2", "E-3", "E-5"]),
        ("-last_seen", ["E-5", "E-3", "E-2", "E-1", "E-4"]),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_engines_are_sorted_over_all_pages(client, sort, expected, limit):
    pages = await walk(client, sort=sort, limit=limit)
    assert [serial for page in pages for serial in page] == expected
    assert max(len(page) for page in pages) == limit


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"site": "bremen"}, ["E-2"]),
        ({"gateway": "gw-1"}, ["E-1", "E-3", "E-4", "E-5"]),
        ({"band": "critical"}, ["E-2"]),
        ({"band": "warning"}, ["E-3", "E-5"]),
        ({"band": "healthy"}, ["E-1"]),
        ({"band": "unknown"}, ["E-4"]),
        ({"status": "retired"}, []),
        ({"type": "turbofan", "band": "critical"}, ["E-2"]),
        ({"type": "pump"}, []),
        ({"model": "turbofan"}, ["E-1", "E-2", "E-3", "E-5"]),
        ({"model": "turbofan 1.0.0", "site": "bremen"}, ["E-2"]),
        ({"model": "turbofan 1.0.1"}, []),
        ({"liveness": "never_seen"}, ["E-4"]),
        ({"liveness": "online", "site": "hamburg", "sort": "-rul", "limit": 2}, ["E-1", "E-5", "E-3"]),
        ({"status": "operational", "site": "hamburg", "band": "warning"}, ["E-3", "E-5"]),
    ],
)
async def test_engines_are_filtered(client, query, expected):
    assert await serials(client, **query) == expected


@pytest.mark.usefixtures("fleet")
async def test_a_page_is_read_in_one_statement(client, statements):
    statements.clear()
    await client.get("/api/v1/engines", params={"sort": "rul", "limit": 2})
    assert len(statements) == 1


@pytest.mark.usefixtures("fleet")
@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/api/v1/engines?liveness=online", Page[Engine]),
        ("/api/v1/engines?liveness=never_seen", Page[Engine]),
        ("/api/v1/fleet/due?before=2030-01-01&verdict=undetermined", DuePage),
    ],
)
async def test_a_list_that_is_written_from_its_fields_is_what_its_model_says(client, path, model):
    answer = await client.get(path)
    assert answer.json()["items"]
    assert model.model_validate_json(answer.content).model_dump(mode="json") == answer.json()


@pytest.mark.parametrize(
    ("query", "location"),
    [
        ({"limit": 0}, "query.limit"),
        ({"limit": 501}, "query.limit"),
        ({"sort": "age"}, "query.sort"),
        ({"bandd": "critical"}, "query.bandd"),
        ({"cursor": "%%%"}, "query.cursor"),
        ({"cursor": "WyJFLTEiXQ=="}, "query.cursor"),
        ({"cursor": "bnVsbA=="}, "query.cursor"),
    ],
)
async def test_a_query_that_means_nothing_is_refused_with_its_place(client, query, location):
    answer = await client.get("/api/v1/engines", params=query)
    assert answer.status_code == 422
    assert [error["location"] for error in answer.json()["errors"]] == [location]


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize("sort", ["rul", "-risk"])
@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity"])
async def test_a_cursor_that_stands_nowhere_in_the_order_is_refused(client, sort, number):
    cursor = base64.urlsafe_b64encode(b'[%s,"E-1"]' % number).decode()
    answer = await client.get("/api/v1/engines", params={"sort": sort, "cursor": cursor})
    assert answer.status_code == 422


async def test_a_cursor_of_another_order_is_refused(client):
    by_serial = (await client.get("/api/v1/engines", params={"limit": 1})).json()["next"]
    answer = await client.get("/api/v1/engines", params={"sort": "rul", "cursor": by_serial})
    assert answer.status_code == 422


async def test_an_engine_shows_its_latest_row_prediction_and_statistics(client, recorder, clock):
    recorder.register("E-1")
    for cycle in range(1, 4):
        recorder.send(
            recorder.row("E-1", cycle, {"T24": float(cycle), "P30": None}, flags={"P30": ["missing"]}),
            recorder.prediction("E-1", cycle, q50=120 - cycle),
        )
        clock.advance(60)
    recorder.status("heartbeat")
    engine = (await client.get("/api/v1/engines/E-1")).json()
    assert engine["cycle"] == engine["row"]["cycle"] == engine["prediction"]["cycle"] == 3
    assert engine["row"]["channels"] == {"T24": 3.0, "P30": None}
    assert engine["row"]["flags"] == {"P30": ["missing"]}
    assert engine["rul"] == engine["prediction"]["rul"]
    assert engine["rul"]["q50_cycles"] == 117.0
    assert engine["rul"]["at_cap"] == {"mean": False, "q05": False, "q50": False, "q95": True}
    assert engine["prediction"]["model"] == {"name": "turbofan", "version": "1.0.0", "sha256": "ab" * 32}
    assert engine["prediction"]["window"] == {"first_cycle": 1, "last_cycle": 3, "rows": 3}
    assert engine["statistics_rows"] == 3
    assert engine["statistics"] == {"T24": {"count": 3, "mean": 2.0, "min": 1.0, "max": 3.0, "std": 1.0}}
    assert engine["liveness"] == {"state": "online", "reason": "heartbeat on time, promised every 10 s"}
    assert engine["last_record_at"] == "2026-11-21T12:02:00Z"


async def test_statistics_go_over_the_last_hundred_rows_only(client, recorder):
    recorder.register("E-1")
    recorder.send(*(recorder.row("E-1", cycle, {"T24": float(cycle)}) for cycle in range(1, 112)))
    engine = (await client.get("/api/v1/engines/E-1")).json()
    assert engine["statistics_rows"] == 100
    assert engine["statistics"]["T24"]["min"] == 12.0
    assert engine["statistics"]["T24"]["max"] == 111.0


async def test_an_engine_whose_row_was_refused_says_why_there_is_no_prediction(client, recorder):
    recorder.register("E-1")
    recorder.send(recorder.row("E-1", 1, refusal="too few channels"))
    engine = (await client.get("/api/v1/engines/E-1")).json()
    assert engine["prediction"] is None
    assert engine["row"]["refusal"] == "too few channels"


async def test_an_unknown_engine_is_not_found_and_told_how_to_register_it(client):
    answer = await client.get("/api/v1/engines/E-9")
    assert answer.status_code == 404
    assert "POST /api/v1/engines" in answer.json()["detail"]
