"""GET /engines/{serial}/predictions and /telemetry."""

import base64

import pytest


@pytest.fixture
def life(recorder):
    recorder.register("E-1")
    for cycle in (3, 1, 2, 5, 4):
        recorder.send(recorder.row("E-1", cycle), recorder.prediction("E-1", cycle, q50=100.0 - cycle))


async def cycles(client, kind, **query):
    found, cursor = [], None
    for _ in range(20):
        params = query | ({"cursor": cursor} if cursor else {})
        page = (await client.get(f"/api/v1/engines/E-1/{kind}", params=params)).json()
        found += [item["cycle"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            return found
    raise AssertionError("the list has no end")


@pytest.mark.usefixtures("life")
@pytest.mark.parametrize("kind", ["predictions", "telemetry"])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"limit": 2}, [1, 2, 3, 4, 5]),
        ({"limit": 2, "order": "desc"}, [5, 4, 3, 2, 1]),
        ({"from_cycle": 2, "to_cycle": 4}, [2, 3, 4]),
        ({"from_cycle": 9}, []),
        ({"installation_id": "elsewhere"}, []),
    ],
)
async def test_history_comes_by_cycle_in_pages(client, kind, query, expected):
    assert await cycles(client, kind, **query) == expected


@pytest.mark.usefixtures("life")
@pytest.mark.parametrize("kind", ["predictions", "telemetry"])
async def test_the_next_page_is_linked_and_keeps_the_query(client, kind):
    answer = await client.get(f"/api/v1/engines/E-1/{kind}", params={"limit": 1, "from_cycle": 2})
    following = await client.get(answer.links["next"]["url"])
    assert [item["cycle"] for item in following.json()["items"]] == [3]


@pytest.mark.usefixtures("life")
async def test_p6_a_prediction_carries_its_lineage(client):
    record = (await client.get("/api/v1/engines/E-1/predictions")).json()["items"][0]
    assert record["model"] == {"name": "turbofan", "version": "1.0.0", "sha256": "ab" * 32}
    assert record["runtime"] == "tflite-runtime 2.14.0"
    assert record["window"] == {"first_cycle": 1, "last_cycle": 1, "rows": 1}
    assert (record["flags"], record["origin"], record["request_id"]) == ({}, "edge", None)
    assert record["input"] is None


@pytest.mark.usefixtures("life")
async def test_p6_the_input_tensor_is_given_on_request(client):
    page = await client.get("/api/v1/engines/E-1/predictions", params={"include": "input"})
    assert base64.b64decode(page.json()["items"][0]["input"]) == b"\x01\x7f\x80"


@pytest.mark.usefixtures("life")
async def test_a_row_says_when_it_was_taken_and_received(client):
    row = (await client.get("/api/v1/engines/E-1/telemetry")).json()["items"][0]
    assert row["channels"] == {"T24": 641.0, "P30": 553.0}
    assert row["observed_at"] == row["received_at"] == "2026-11-21T12:00:00Z"
    assert row["clock_unsynced"] is False


@pytest.mark.parametrize("kind", ["predictions", "telemetry"])
async def test_the_history_of_an_unknown_engine_is_not_found(client, kind):
    assert (await client.get(f"/api/v1/engines/E-9/{kind}")).status_code == 404


@pytest.mark.usefixtures("life")
@pytest.mark.parametrize(
    "query",
    [
        {"from_cycle": 0},
        {"to_cycle": 2**31},
        {"order": "up"},
        {"include": "all"},
        {"cursor": base64.urlsafe_b64encode(b"[1,-1]").decode()},
        {"cursor": base64.urlsafe_b64encode(b"[1,9223372036854775808]").decode()},
    ],
)
async def test_a_range_that_cannot_be_is_refused(client, query):
    answer = await client.get("/api/v1/engines/E-1/predictions", params=query)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["location"] == f"query.{next(iter(query))}"
