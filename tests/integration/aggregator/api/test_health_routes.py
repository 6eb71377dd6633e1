"""GET /health/live and /health/ready."""

from datetime import UTC, datetime


async def test_live_needs_nothing(client, store):
    store.close()
    assert (await client.get("/health/live")).json() == {"status": "live"}


async def test_ready_says_what_ingest_has_done(client, ingest):
    ingest.since = ingest.last_commit_at = datetime(2026, 11, 21, 12, tzinfo=UTC)
    ingest.committed_records = 5
    answer = await client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "broker_connected_since": "2026-11-21T12:00:00Z",
        "ingest": {
            "committed_records": 5,
            "duplicate_records": 0,
            "quarantined_records": 0,
            "given_up_messages": 0,
            "unusable_messages": 0,
            "dropped_messages": 0,
            "last_commit_at": "2026-11-21T12:00:00Z",
        },
    }


async def test_not_ready_without_a_broker_and_why(client, ingest):
    ingest.connected, ingest.problem = False, "connection refused at 127.0.0.1:1883"
    answer = await client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "connection refused at 127.0.0.1:1883"


async def test_not_ready_when_the_store_takes_no_writes(client, store):
    with store.writing() as connection:
        connection.exec_driver_sql("DROP TABLE store_fact")
    answer = await client.get("/health/ready")
    assert answer.status_code == 503
    assert "store" in answer.json()["detail"]
