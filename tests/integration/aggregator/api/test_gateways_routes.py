"""GET /gateways and /quarantine."""

import base64

from aggregator.store.quarantine_bound import QuarantineBound


async def test_a_gateway_shows_its_last_status_and_link(client, recorder, clock):
    recorder.engine("E-1")
    recorder.register("E-2", gateway="gw-2", site="bremen")
    recorder.status("heartbeat")
    clock.advance(105)
    heard, silent = (await client.get("/api/v1/gateways")).json()["items"]
    assert heard["liveness"] == {"state": "stale", "reason": "heartbeat 95 s late, last record 105 s ago"}
    assert heard["last_record_at"] == "2026-11-21T12:00:00Z"
    assert heard["status"] == {
        "event": "heartbeat",
        "session": 3,
        "agent_version": "0.1.0",
        "sent_at": "2026-11-21T12:00:00Z",
        "received_at": "2026-11-21T12:00:00Z",
        "heartbeat_interval_s": 10.0,
        "unacked_records": 7,
        "dead_letters": 0,
        "dropped_records": 0,
        "source_state": "reading",
        "last_error": None,
    }
    assert (silent["name"], silent["site"], silent["status"]) == ("gw-2", "bremen", None)
    assert silent["liveness"]["state"] == "never_seen"


async def test_p9_records_after_a_last_will_are_told(client, recorder, clock):
    recorder.engine("E-1")
    recorder.status("will")
    clock.advance(20)
    recorder.send(recorder.row("E-1", 2))
    (gateway,) = (await client.get("/api/v1/gateways")).json()["items"]
    assert gateway["liveness"] == {
        "state": "online",
        "reason": "records arrive although its last will was received at 2026-11-21T12:00:00Z",
    }


async def test_gateways_come_by_name_in_pages(client, recorder):
    for number in (2, 3, 1):
        recorder.register(f"E-{number}", gateway=f"gw-{number}")
    first = await client.get("/api/v1/gateways", params={"limit": 2})
    second = await client.get(first.links["next"]["url"])
    names = [item["name"] for page in (first, second) for item in page.json()["items"]]
    assert names == ["gw-1", "gw-2", "gw-3"]
    assert second.json()["next"] is None


async def test_p10_what_was_refused_is_listed_with_its_reason_and_bytes(client, recorder, clock):
    recorder.engine("E-1")
    recorder.send(recorder.row("E-9", 1))
    clock.advance(1)
    recorder.garbage(b"\xff{")
    first = await client.get("/api/v1/quarantine", params={"limit": 1})
    second = await client.get(first.links["next"]["url"])
    (malformed,), (unknown,) = first.json()["items"], second.json()["items"]
    assert base64.b64decode(malformed["body"]) == b"\xff{"
    assert (malformed["reason"], malformed["seq"]) == ("not JSON", None)
    assert malformed["topic"] == "spoolwatch/v1/hamburg/gw-1/records"
    assert malformed["received_at"] == "2026-11-21T12:00:01Z"
    assert (unknown["gateway"], unknown["seq"]) == ("gw-1", 3)
    assert "E-9 is not registered" in unknown["reason"]
    assert second.json()["next"] is None


async def test_p4_what_the_quarantine_gave_up_is_counted(client, recorder, store):
    for number in range(6):
        recorder.garbage(b"{%d" % number)
    before = (await client.get("/api/v1/quarantine")).json()
    QuarantineBound(store, max_rows=5, max_bytes=10_000).keep()
    after = (await client.get("/api/v1/quarantine")).json()
    assert (len(before["items"]), before["given_up"]) == (6, 0)
    assert (len(after["items"]), after["given_up"]) == (4, 2)
