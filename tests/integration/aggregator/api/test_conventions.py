"""What every answer has, whoever wrote its route: tags, compression, names."""

import gzip
import json

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

TRACE = "0af7651916cd43dd8448eb211c80319c"
LISTS = [
    *("engines", "gateways", "quarantine", "installations", "models", "missing", "people", "api-keys", "audit"),
    *("alarms", "alarm-rules", "receivers", "notifications"),
]


@pytest.mark.parametrize("path", [*LISTS, "engines/E-1", "fleet", "engines/E-1/telemetry", "engines/E-1/why"])
async def test_who_has_an_answer_already_is_not_sent_it_again(client, recorder, path):
    recorder.engine("E-1")
    first = await client.get(f"/api/v1/{path}")
    assert first.headers["cache-control"] == "private, no-cache"
    tag = first.headers["etag"]
    again = await client.get(f"/api/v1/{path}", headers={"If-None-Match": f'"other", {tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert "content-length" not in again.headers
    other = await client.get(f"/api/v1/{path}", headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.content) == (200, first.content)


async def test_a_tag_is_another_one_once_something_was_measured(client, recorder):
    recorder.engine("E-1")
    for path in ("/api/v1/engines", "/api/v1/engines/E-1"):
        seen = {"If-None-Match": (await client.get(path)).headers["etag"]}
        recorder.send(recorder.row("E-1", 5 if path.endswith("s") else 6))
        assert (await client.get(path, headers=seen)).status_code == 200


async def test_a_long_answer_to_a_read_is_compressed_if_asked_for(client, recorder):
    for number in range(9):
        recorder.register(f"E-{number}")
    async with client.stream("GET", "/api/v1/engines", headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join([part async for part in answer.aiter_raw()])
    assert (answer.headers["content-encoding"], answer.headers["vary"]) == ("gzip", "Accept-Encoding")
    assert len(json.loads(gzip.decompress(raw))["items"]) == 9
    plain = await client.get("/api/v1/engines", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers


async def test_p8_no_answer_with_a_secret_is_compressed_or_kept_by_caches(client, logged_in):
    wish = {"purpose": "x" * 100, "role": "viewer", "sites": ["hamburg"], "expires_in_days": 1}
    headers = logged_in() | {"Accept-Encoding": "gzip"}
    answer = await client.post("/api/v1/api-keys", json=wish, headers=headers)
    assert answer.status_code == 201
    assert "content-encoding" not in answer.headers
    assert "etag" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/health/live", "/api/v1/fleet", "/api/v1/nothing", "/api/v1/engines?limit=x"])
async def test_an_answer_has_the_names_that_its_request_came_with(client, path):
    asked = {"X-Request-ID": "planner-7", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    headers = (await client.get(path, headers=asked)).headers
    assert headers["x-request-id"] == "planner-7"
    version, trace, span, flags = headers["traceresponse"].split("-")
    assert (version, trace, len(span), flags) == ("00", TRACE, 16, "01")


@pytest.mark.parametrize("bad", ["", "a b", "x" * 129, 'a"b', "00-0-0-00"])
async def test_names_that_are_none_are_replaced(client, bad):
    headers = (await client.get("/health/live", headers={"X-Request-ID": bad or " ", "traceparent": bad})).headers
    assert headers["x-request-id"] != bad or bad == "00-0-0-00"
    assert len(headers["traceresponse"].split("-")[1]) == 32


async def test_every_line_of_the_log_names_the_request_and_so_does_the_answer_to_a_defect(client, store):
    with store.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE current_state RENAME TO lost")
    with capture_logs(processors=[merge_contextvars]) as lines:
        answer = await client.get("/api/v1/engines", headers={"X-Request-ID": "planner-7"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "planner-7")
    (line,) = [line for line in lines if line["event"] == "request_failed"]
    assert line["request_id"] == "planner-7"
    assert len(line["trace_id"]) == 32
