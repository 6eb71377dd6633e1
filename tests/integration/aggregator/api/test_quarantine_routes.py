"""What was quarantined is listed, looked at, redriven and discarded."""

import base64

import pytest

from aggregator.store.quarantine_bound import QuarantineBound


async def quarantine(client, **query):
    return (await client.get("/api/v1/quarantine", params=query)).json()["items"]


async def test_p10_what_was_refused_is_listed_with_its_reason(client, recorder, clock):
    recorder.engine("E-1")
    recorder.send(recorder.row("E-9", 1))
    clock.advance(1)
    recorder.garbage(b"\xff{")
    first = await client.get("/api/v1/quarantine", params={"limit": 1})
    second = await client.get(first.links["next"]["url"])
    (malformed,), (unknown,) = first.json()["items"], second.json()["items"]
    assert (malformed["reason"], malformed["seq"], malformed["size_bytes"]) == ("not JSON", None, 2)
    assert malformed["topic"] == "spoolwatch/v1/hamburg/gw-1/records"
    assert malformed["received_at"] == "2026-11-21T12:00:01Z"
    assert (unknown["gateway"], unknown["seq"], unknown["engine"]) == ("gw-1", 3, "E-9")
    assert "E-9 is not registered" in unknown["reason"]
    assert second.json()["next"] is None


async def test_a_message_is_looked_at_with_its_bytes_and_what_they_say(client, recorder):
    recorder.engine("E-1")
    recorder.garbage(b"\xff{")
    recorder.send(recorder.row("E-9", 7))
    record, malformed = [
        (await client.get(f"/api/v1/quarantine/{one['id']}")).json() for one in await quarantine(client)
    ]
    assert base64.b64decode(malformed["body"]) == b"\xff{"
    assert malformed["content"] is None
    assert (record["content"]["engine"], record["content"]["cycle"]) == ("E-9", 7)


@pytest.mark.parametrize(("query", "count"), [({"engine": "E-9"}, 2), ({"gateway": "gw-2"}, 1), ({}, 4)])
async def test_the_quarantine_is_filtered(client, recorder, query, count):
    recorder.register("E-1")
    recorder.register("E-2", gateway="gw-2")
    recorder.send(recorder.row("E-9", 1), recorder.row("E-8", 1))
    recorder.send(recorder.row("E-9", 2), gateway="gw-2")
    recorder.garbage()
    assert len(await quarantine(client, **query)) == count


async def test_p10_once_its_installation_is_entered_a_record_is_redriven_into_the_engines_history(client, recorder):
    recorder.register("E-1")
    recorder.send(recorder.row("E-9", 1), recorder.row("E-1", 1), recorder.row("E-9", 2), recorder.prediction("E-9", 2))
    refused = await client.post(f"/api/v1/quarantine/{(await quarantine(client))[0]['id']}/redrive")
    assert refused.status_code == 409
    assert "engine E-9 is not registered" in refused.json()["detail"]
    await client.post("/api/v1/engines", json={"serial": "E-9", "site": "hamburg"})
    again = await client.post("/api/v1/quarantine/redrive", json={"engine": "E-9"})
    assert again.json() == {"taken": 0, "refused": 3, "next": None}
    assert {"is not installed" in one["reason"] for one in await quarantine(client)} == {True}
    place = {"engine": "E-9", "gateway": "gw-1", "position": "right", "installed_from": "2026-11-21T00:00:00Z"}
    assert (await client.post("/api/v1/installations", json=place)).status_code == 201
    last = await client.post(f"/api/v1/quarantine/{(await quarantine(client))[0]['id']}/redrive")
    assert last.status_code == 204
    rest = await client.post("/api/v1/quarantine/redrive", json={})
    assert rest.json() == {"taken": 2, "refused": 0, "next": None}
    engine = (await client.get("/api/v1/engines/E-9")).json()
    assert (engine["cycle"], engine["rul"]["q50_cycles"], engine["statistics_rows"]) == (2, 80.0, 2)
    assert await quarantine(client) == []


async def test_what_was_redriven_is_answered_as_committed_when_it_comes_again(client, recorder, store):
    recorder.register("E-1")
    recorder.send(recorder.row("E-9", 1))
    recorder.register("E-9")
    await client.post("/api/v1/quarantine/redrive", json={})
    recorder.restart()
    (answer,) = recorder.send(recorder.row("E-9", 1)).answers.values()
    assert (answer.committed, answer.quarantined) == ({1}, {})
    assert len((await client.get("/api/v1/engines/E-9/telemetry")).json()["items"]) == 1


async def test_many_are_redriven_a_part_at_a_time(client, recorder):
    recorder.register("E-1")
    recorder.send(*(recorder.row("E-9" if cycle % 2 else "E-8", cycle) for cycle in range(1, 8)))
    recorder.register("E-9")
    answers, cursor = [], None
    for _ in range(3):
        answer = await client.post("/api/v1/quarantine/redrive", json={"limit": 3, "cursor": cursor})
        answers.append((answer.json()["taken"], answer.json()["refused"]))
        cursor = answer.json()["next"]
    assert [sum(answer) for answer in answers] == [3, 3, 1]
    assert [sum(each) for each in zip(*answers, strict=True)] == [4, 3]
    assert cursor is None


async def test_records_of_a_gateway_that_is_registered_later_are_redriven(client, recorder):
    recorder.send(recorder.row("E-1", 1))
    recorder.engine("E-1", cycle=2)
    assert (await client.post("/api/v1/quarantine/redrive", json={"gateway": "gw-1"})).json()["taken"] == 1
    rows = (await client.get("/api/v1/engines/E-1/telemetry")).json()["items"]
    assert [row["cycle"] for row in rows] == [1, 2]


async def test_a_record_that_contradicts_what_is_stored_stays(client, recorder):
    recorder.engine("E-1")
    recorder.send(recorder.row("E-1", 1, {"T24": 1.0}))
    (kept,) = await quarantine(client)
    answer = await client.post(f"/api/v1/quarantine/{kept['id']}/redrive")
    assert answer.status_code == 409
    assert "already stored with other content" in answer.json()["detail"]
    assert await quarantine(client) == [kept]


async def test_a_malformed_message_stays(client, recorder):
    recorder.garbage()
    (kept,) = await quarantine(client)
    answer = await client.post(f"/api/v1/quarantine/{kept['id']}/redrive")
    assert answer.status_code == 409
    assert (await client.post("/api/v1/quarantine/redrive", json={})).json()["refused"] == 1


async def test_what_is_discarded_is_gone(client, recorder):
    recorder.garbage()
    (kept,) = await quarantine(client)
    path = f"/api/v1/quarantine/{kept['id']}"
    assert (await client.delete(path)).status_code == 204
    for gone in (client.get(path), client.delete(path), client.post(f"{path}/redrive")):
        assert (await gone).status_code == 404
    assert await quarantine(client) == []


async def test_p4_what_the_quarantine_gave_up_is_counted(client, recorder, store):
    for number in range(6):
        recorder.garbage(b"{%d" % number)
    before = (await client.get("/api/v1/quarantine")).json()
    QuarantineBound(store, max_rows=5, max_bytes=10_000).keep()
    after = (await client.get("/api/v1/quarantine")).json()
    assert (len(before["items"]), before["given_up"]) == (6, 0)
    assert (len(after["items"]), after["given_up"]) == (4, 2)
