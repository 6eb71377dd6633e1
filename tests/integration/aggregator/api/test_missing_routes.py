"""GET /missing: what will never come."""

import pytest

from aggregator.store.arrivals import ReplyArrival
from aggregator.store.commit import commit
from aggregator.store.missing import UNAVAILABLE
from shared.messages import Gap, Reply
from shared.topics import GatewayTopic


@pytest.fixture
def lost(recorder, store, clock):
    """Gateway gw-2 has dropped seqs; then gw-1 no longer has what it was asked for."""
    recorder.register("E-1", gateway="gw-1")
    recorder.register("E-2", gateway="gw-2")
    gap = Gap(gap_id="g", ranges=[(51, 60), (41, 42)], reason="the outbox was full", noticed_at=clock())
    recorder.send(gap, gateway="gw-2")
    clock.advance(1)
    reply = Reply(command_id="c", outcome="done", stream_id="stream-gw-1", unavailable=[(7, 7), (3, 5)])
    commit(store, [ReplyArrival(GatewayTopic("hamburg", "gw-1", "reply"), reply, clock())])


async def test_nothing_is_missing_at_first(client):
    assert (await client.get("/api/v1/missing")).json() == {"items": [], "next": None}


@pytest.mark.usefixtures("lost")
async def test_p4_what_will_not_come_is_listed_with_its_reason(client):
    items = (await client.get("/api/v1/missing", params={"gateway": "gw-2"})).json()["items"]
    assert [(one["first_seq"], one["last_seq"]) for one in items] == [(41, 42), (51, 60)]
    assert items[0] == {
        "gateway": "gw-2",
        "stream_id": "stream-gw-2",
        "first_seq": 41,
        "last_seq": 42,
        "reason": "the outbox was full",
        "noticed_at": "2026-11-21T12:00:00Z",
    }


@pytest.mark.usefixtures("lost")
async def test_it_comes_by_gateway_and_seq_in_pages(client):
    url, pages = "/api/v1/missing?limit=3", []
    while url:
        page = await client.get(url)
        pages.append([(one["gateway"], one["first_seq"], one["reason"]) for one in page.json()["items"]])
        url = page.links["next"]["url"] if "next" in page.links else None
    assert pages == [
        [("gw-1", 3, UNAVAILABLE), ("gw-1", 7, UNAVAILABLE), ("gw-2", 41, "the outbox was full")],
        [("gw-2", 51, "the outbox was full")],
    ]


@pytest.mark.parametrize("wrong", [{"cursor": "x"}, {"gateway": "a/b"}, {"site": "hamburg"}])
async def test_a_wrong_question_is_answered_by_problem_details(client, wrong):
    answer = await client.get("/api/v1/missing", params=wrong)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert next(iter(wrong)) in answer.json()["errors"][0]["location"]
