"""What every answer carries, and what is not read: headers, CORS, long bodies."""

import asyncio
from urllib.parse import quote

import pytest

from aggregator.api.deps import READERS_MAX, SQLITE_READERS_MAX
from aggregator.api.headers import ALWAYS, OVER_TLS
from aggregator.settings import ApiSettings

ORIGIN = "https://planner.example.org"


@pytest.mark.parametrize("path", ["/health/live", "/api/v1/fleet", "/api/v1/nothing", "/api/docs"])
async def test_every_answer_says_what_a_browser_must_not_do(client, path):
    headers = (await client.get(path)).headers
    assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY")
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "strict-transport-security" not in headers


async def test_over_tls_it_says_to_stay_there(client):
    assert "max-age" in (await client.get("https://centre.test/health/live")).headers["strict-transport-security"]


async def test_the_answer_to_a_defect_says_so_too(client, store):
    with store.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE current_state RENAME TO lost")
    defect = await client.get("https://127.0.0.1/api/v1/engines")
    assert defect.status_code == 500
    sound = await client.get("https://127.0.0.1/health/live")
    of_every_answer = set(ALWAYS | OVER_TLS)
    assert {name: defect.headers[name] for name in of_every_answer} == {
        name: sound.headers[name] for name in of_every_answer
    }


async def test_other_origins_are_not_allowed_by_default(client):
    answer = await client.get("/health/live", headers={"Origin": ORIGIN})
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("api_settings", [ApiSettings(cors_origins=(ORIGIN,))])
async def test_an_origin_that_is_set_may_send_a_token_and_no_cookie(client):
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    allowed = await client.options("/api/v1/engines", headers=asked)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, ORIGIN)
    assert "access-control-allow-credentials" not in allowed.headers
    refused = await client.options("/api/v1/engines", headers=asked | {"Origin": "https://other.example.org"})
    assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize("api_settings", [ApiSettings(cors_origins=(ORIGIN,))])
@pytest.mark.parametrize(
    ("header", "status"), [("if-match", 200), ("idempotency-key", 200), ("if-none-match", 200), ("x-other", 400)]
)
async def test_pages_elsewhere_may_send_the_headers_that_are_read(client, header, status):
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": header,
    }
    assert (await client.options("/api/v1/engines/E1", headers=asked)).status_code == status


@pytest.mark.parametrize("api_settings", [ApiSettings(cors_origins=(ORIGIN,))])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8000"}, 200),
        ({"Host": "[::1]:8000", "Origin": "http://127.0.0.1:8000"}, 200),
        ({"Origin": ORIGIN}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "[::1"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
async def test_p8_without_accounts_pages_of_other_sites_are_kept_out(client, headers, status):
    assert (await client.get("/api/v1/fleet", headers=headers)).status_code == status


async def test_with_accounts_any_name_of_the_centre_will_do(client, bearer):
    named = {"Host": "centre.example.org", "Origin": "https://centre.example.org"}
    assert (await client.get("/api/v1/fleet", headers=bearer() | named)).status_code == 200


@pytest.mark.parametrize("api_settings", [ApiSettings(max_body_bytes=1024)])
@pytest.mark.parametrize("path", ["/api/v1/engines", "/api/v1/sessions"])
async def test_a_body_that_is_too_long_is_not_read(client, path):
    read = []

    async def endless():
        while True:
            read.append(1)
            yield b" " * 512

    json = {"content-type": "application/json"}
    announced = await client.post(path, content=b" " * 1025, headers=json)
    going_on = await client.post(path, content=endless(), headers=json)
    for answer in (announced, going_on):
        assert (answer.status_code, answer.json()["status"]) == (413, 413)
    assert len(read) <= 4
    assert (await client.post(path, content=b" " * 1024, headers=json)).status_code == 422


@pytest.mark.parametrize(
    "text",
    [
        "' OR 1=1 --",
        "E-1'; DROP TABLE engine; --",
        "../../etc/passwd",
        "..%2f..",
        "\x00",
        "\ud7ff\U0001f600",
        "a" * 5000,
    ],
)
async def test_p8_what_is_no_name_reaches_neither_statements_nor_files(client, recorder, text):
    recorder.engine("E-1")
    spelt = quote(text, safe="")
    asked = [
        *(("GET", f"/api/v1/{path}") for path in (f"engines/{spelt}", f"engines/{spelt}/telemetry", f"people/{spelt}")),
        *(("GET", f"/api/v1/engines?{name}={spelt}") for name in ("site", "gateway", "cursor", "sort")),
        *(("GET", f"/api/v1/{path}?cursor={spelt}") for path in ("people", "api-keys", "audit", "missing")),
        ("DELETE", f"/api/v1/api-keys/{spelt}"),
        ("GET", f"/api/docs/assets/{spelt}"),
    ]
    for method, path in asked:
        answer = await client.request(method, path)
        assert answer.status_code in (404, 422), path
    assert len((await client.get("/api/v1/engines")).json()["items"]) == 1


async def test_who_does_not_read_the_answer_keeps_no_readers_place(app, recorder):
    recorder.engine("E-1")
    answered = asyncio.Event()

    async def never(_):
        answered.set()
        await asyncio.Event().wait()

    async def receive():
        return {"type": "http.request"}

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/api/v1/engines",
        "raw_path": b"/api/v1/engines",
        "query_string": b"",
    }
    scope |= {"headers": [(b"host", b"127.0.0.1")], "client": ("127.0.0.1", 1), "scheme": "http", "http_version": "1.1"}
    asked = asyncio.create_task(app(scope, receive, never))
    async with asyncio.timeout(60):
        await answered.wait()
    assert app.state.centre.readers._value in (READERS_MAX, SQLITE_READERS_MAX)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
