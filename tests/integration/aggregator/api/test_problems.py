"""Every error is problem details (RFC 9457), and documented."""

import pytest
from sqlalchemy import event

from aggregator.api.app import create_app


def check_problem(answer, status):
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["type"] == "about:blank"
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"] == answer.request.url.path
    return problem


@pytest.mark.parametrize(
    "path", ["/api", "/api/", "/api/v1", "/api/v1/engine", "/api/v2/fleet", "/health", "/health/x"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "BREW"])
async def test_an_unknown_route_is_not_found(client, method, path):
    check_problem(await client.request(method, path), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/v1/fleet", "GET"),
        ("POST", "/api/v1/engines/E-1/telemetry", "GET"),
        ("POST", "/health/live", "GET"),
        ("BREW", "/api/v1/gateways", "GET, POST"),
        ("PUT", "/api/v1/quarantine/1", "DELETE, GET"),
        ("PUT", "/api/v1/quarantine/redrive", "POST"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(client, method, path, allowed):
    answer = await client.request(method, path)
    check_problem(answer, 405)
    assert answer.headers["allow"] == allowed


async def test_a_body_that_is_not_json_is_refused(client):
    answer = await client.post("/api/v1/engines", content=b'{"serial": ', headers={"content-type": "application/json"})
    assert check_problem(answer, 422)["errors"]


@pytest.mark.parametrize("body", [b'{"serial": ', b"\xff\xfe", b"[" * 100_000, b"{}"])
async def test_p8_what_is_wrong_with_a_body_is_told_only_to_who_may_send_one(client, bearer, body):
    json = {"content-type": "application/json"}
    for shown, status in (({}, 401), (bearer("viewer@hamburg"), 403)):
        check_problem(await client.post("/api/v1/engines", content=body, headers=shown | json), status)
    refused = await client.post("/api/v1/engines", content=body, headers=bearer() | json)
    assert check_problem(refused, 422)["errors"][0]["location"].startswith("body")


async def test_a_defect_tells_nothing_of_the_inside(client, store):
    with store.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE current_state RENAME TO lost")
    problem = check_problem(await client.get("/api/v1/fleet"), 500)
    assert "current_state" not in str(problem)
    assert "log" in problem["detail"]


async def test_while_others_hold_the_store_for_too_long_it_is_said_to_try_again(client, store):
    @event.listens_for(store.engine, "checkout")
    def be_impatient(connection, *_):
        connection.execute("PRAGMA busy_timeout = 50")

    registration = {"serial": "E-1", "site": "hamburg"}
    with store.writing():
        answer = await client.post("/api/v1/engines", json=registration)
    assert "Try again" in check_problem(answer, 503)["detail"]
    assert answer.headers["Retry-After"] == "5"
    assert (await client.post("/api/v1/engines", json=registration)).status_code == 201


def test_every_error_is_documented_as_problem_details(store, ingest):
    description = create_app(store, ingest).openapi()
    assert description["openapi"].startswith("3.1")
    for path, operations in description["paths"].items():
        for operation in operations.values():
            errors = {status: each for status, each in operation["responses"].items() if int(status) >= 400}
            assert errors.keys() >= {"500", "503"}, path
            for error in errors.values():
                schema = error["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Problem"}
    assert "HTTPValidationError" not in description["components"]["schemas"]


def test_every_value_is_described_or_says_it_by_its_name_and_type(store, ingest):
    schemas = create_app(store, ingest).openapi()["components"]["schemas"]
    assert all("description" in schema for name, schema in schemas.items() if not name.startswith("Page"))
