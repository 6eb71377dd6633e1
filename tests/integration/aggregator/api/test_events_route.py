"""GET /events: what changes, live; over real sockets, because a stream has no end to wait for."""

import asyncio
import json
import socket
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
import uvicorn

from aggregator.access.roles import FULL_ACCESS, Caller
from aggregator.api import feed
from aggregator.api.app import create_app
from aggregator.api.events import Event, Portion, Wanted
from aggregator.api.feed import STREAMS_OF_ONE, WAITING_BYTES, Listener
from aggregator.api.routes import events as events_route
from aggregator.store.api_keys import revoke_key
from aggregator.store.database import Store

DEADLINE_S = 60
PATH = "/api/v1/events"
ROOT = Caller("root on this machine", FULL_ACCESS)


class Stream:
    """Reads events one by one."""

    def __init__(self, answer):
        self._lines = answer.aiter_lines()

    async def next(self):
        """Name, data and id of the next event; None at the end of the stream."""
        fields = {}
        async with asyncio.timeout(DEADLINE_S):
            async for line in self._lines:
                if not line and fields.keys() - {"retry"}:
                    return fields["event"], json.loads(fields["data"]), fields.get("id")
                if line and not line.startswith(":"):
                    name, _, value = line.partition(": ")
                    fields[name] = value
        return None

    async def next_id(self, other_than):
        """The next id that is another one, whether it comes with an event or alone."""
        async with asyncio.timeout(DEADLINE_S):
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if name == "id" and value != other_than:
                    return value
        raise AssertionError("the stream ended without another id")

    async def until(self, name):
        """The data of the next event of this name."""
        while (event := await self.next()) is not None:
            if event[0] == name:
                return event[1]
        raise AssertionError(f"the stream ended without {name}")


class Centre:
    """An API on a port of its own."""

    def __init__(self, app, server, url):
        self.feed, self.server = app.state.centre.feed, server
        self.client = httpx.AsyncClient(base_url=url, timeout=DEADLINE_S)

    @asynccontextmanager
    async def listen(self, headers=(), last=None, **query):
        headers = dict(headers) | ({} if last is None else {"Last-Event-ID": last})
        async with self.client.stream("GET", PATH, params=query, headers=headers) as answer:
            assert answer.status_code == 200, await answer.aread()
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield Stream(answer)


@pytest.fixture
async def serve(ingest, clock):
    """Serve the API over a store, as one replica does."""
    running = []

    async def start(store):
        app = create_app(store, ingest, clock)
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=5))
        task = asyncio.create_task(server.serve([listener]))
        centre = Centre(app, server, "http://{}:{}".format(*listener.getsockname()))
        running.append((centre, task))
        return centre

    yield start
    for centre, task in running:
        await centre.client.aclose()
        centre.feed.close()
        centre.server.should_exit = True
        await task


@pytest.fixture
async def centre(serve, store):
    return await serve(store)


async def test_what_changes_is_told_as_lists_show_it(centre, recorder):
    recorder.register("E-1")
    async with centre.listen() as stream:
        name, data, event_id = await stream.next()
        assert (name, data, bool(event_id)) == ("start", {"at": "2026-11-21T12:00:00Z"}, True)
        recorder.send(recorder.row("E-1", 3), recorder.prediction("E-1", 3, q50=80.0))
        assert await stream.until("engine") == (await centre.client.get("/api/v1/engines")).json()["items"][0]
        recorder.status("heartbeat")
        assert await stream.until("gateway") == (await centre.client.get("/api/v1/gateways")).json()["items"][0]
        recorder.garbage()
        news = {"site": "hamburg", "gateway": "gw-1", "engine": None, "messages": 1, "latest_id": 1}
        assert await stream.until("quarantine") == news
        recorder.send(*(recorder.prediction("E-1", cycle, q50=40.0, spread=5.0) for cycle in (4, 5, 6)))
        assert [await stream.until("alarm")] == (await centre.client.get("/api/v1/alarms")).json()["items"]
        await centre.client.post("/api/v1/alarms/1/acknowledgement")
        assert (await stream.until("alarm"))["acknowledged_by"] == "anyone"
        await centre.client.post("/api/v1/work-orders", json={"alarms": [1]})
        assert [await stream.until("work_order")] == (await centre.client.get("/api/v1/work-orders")).json()["items"]


async def test_a_gateway_that_falls_silent_is_told_of(centre, recorder, clock):
    recorder.engine("E-1")
    recorder.status("heartbeat")
    async with centre.listen(kind="gateway") as stream:
        await stream.next()
        clock.advance(26)
        assert (await stream.until("gateway"))["liveness"]["state"] == "stale"


async def test_a_stream_goes_on_where_it_was_and_tells_each_thing_once(centre, recorder):
    recorder.engine("E-1")
    recorder.engine("E-2", gateway="gw-2")
    async with centre.listen() as stream:
        _, _, seen = await stream.next()
    for cycle in (2, 3):
        recorder.send(recorder.row("E-1", cycle))
    async with centre.listen(last=seen) as stream:
        name, engine, event_id = await stream.next()
        assert (name, engine["serial"], engine["cycle"]) == ("engine", "E-1", 3)
        recorder.send(recorder.row("E-2", 7), gateway="gw-2")
        assert (await stream.until("engine"))["serial"] == "E-2"
    async with centre.listen(last=event_id) as stream:
        assert (await stream.until("engine"))["serial"] == "E-2"


async def test_a_stream_goes_on_at_another_replica(serve, recorder, postgresql_url, clock):
    stores = [Store(postgresql_url) for _ in range(2)]
    stores[0].migrate()
    recorder.store = stores[0]
    first, second = [await serve(store) for store in stores]
    recorder.register("E-1")
    async with first.listen() as stream, second.listen() as other:
        _, _, seen = await stream.next()
        await other.next()
        recorder.send(recorder.row("E-1", 1))
        assert (await stream.until("engine"))["cycle"] == (await other.until("engine"))["cycle"] == 1
    async with second.listen(last=seen) as stream:
        assert (await stream.until("engine"))["cycle"] == 1
    for centre in (first, second):
        centre.feed.close()
    for store in stores:
        store.close()


@pytest.mark.parametrize("last", ["0", "x.y.z", "cafe0123.7.7", "{epoch}.99999999999.0"])
async def test_an_id_of_nowhere_is_told_to_start_over(centre, store, last):
    async with centre.listen(last=last.format(epoch=store.epoch().partition("-")[0])) as stream:
        assert (await stream.next())[0] == "reset"


async def test_p8_only_what_is_at_ones_sites_is_told(centre, recorder, bearer):
    recorder.engine("E-1")
    recorder.engine("E-2", gateway="gw-2", site="bremen")
    async with centre.listen(bearer("viewer@hamburg")) as stream:
        await stream.next()
        recorder.send(recorder.row("E-2", 2), gateway="gw-2", site="bremen")
        recorder.status(gateway="gw-2", site="bremen")
        recorder.garbage(gateway="gw-2", site="bremen")
        recorder.send(recorder.row("E-1", 2))
        assert (await stream.next())[1]["serial"] == "E-1"


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"engine": "E-2"}, ["engine", "gateway"]),
        ({"site": "bremen"}, ["engine", "gateway", "quarantine"]),
        ({"kind": ["gateway"], "site": "bremen"}, ["gateway"]),
        ({"kind": ["engine", "quarantine"], "engine": "E-2"}, ["engine"]),
    ],
)
async def test_only_what_is_asked_for_is_told(centre, recorder, query, told):
    recorder.engine("E-1")
    async with centre.listen() as stream:
        _, _, seen = await stream.next()
    recorder.engine("E-2", gateway="gw-2", site="bremen")
    recorder.garbage()
    recorder.garbage(gateway="gw-2", site="bremen")
    centre.feed.close()
    async with centre.listen(last=seen, **query) as stream:
        events = [await stream.next() for _ in told]
        assert [name for name, _, _ in events] == told
        assert all("bremen" in json.dumps(data) for _, data, _ in events)
        assert await stream.next() is None


async def test_p8_a_stream_ends_with_the_key(centre, recorder, store, clock, bearer):
    recorder.engine("E-1")
    headers = bearer("viewer@hamburg")
    async with centre.listen(headers) as stream:
        await stream.next()
        key_id = headers["Authorization"].removeprefix("Bearer swk_")[:8]
        revoke_key(store, key_id, ROOT, clock())
        clock.advance(3)
        recorder.send(recorder.row("E-1", 2))
        assert await stream.next() is None


async def test_who_is_told_nothing_is_told_how_far_that_was_and_misses_nothing(centre, recorder, monkeypatch):
    monkeypatch.setattr(feed, "HEARTBEAT_S", 0)
    monkeypatch.setattr(feed, "CHECK_S", 0.01)
    async with centre.listen(site="bremen") as stream:
        _, _, first = await stream.next()
        recorder.engine("E-1")
        seen = await stream.next_id(other_than=first)
    async with centre.listen(last=first, site="bremen") as stream:
        assert await stream.next_id(other_than=first) == seen
    recorder.engine("E-2", gateway="gw-2", site="bremen")
    async with centre.listen(last=seen) as stream:
        assert (await stream.next())[1]["serial"] == "E-2"


async def test_streams_end_at_once_when_the_centre_stops(centre):
    async with centre.listen() as stream:
        await stream.next()
        centre.feed.close()
        assert await stream.next() is None


async def test_one_caller_has_so_many_streams_and_no_more(centre):
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(centre.listen()) for _ in range(STREAMS_OF_ONE)]
        assert [(await stream.next())[0] for stream in streams] == ["start"] * STREAMS_OF_ONE
        async with centre.client.stream("GET", PATH) as refused:
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "10")
    async with asyncio.timeout(DEADLINE_S):
        while centre.feed.streams():
            await asyncio.sleep(0.01)


async def test_a_stream_that_nobody_reads_ends_and_its_place_is_free(centre, monkeypatch):
    ended = asyncio.Event()

    async def endless():
        try:
            while True:
                yield b"x" * 1_000_000
        finally:
            ended.set()

    monkeypatch.setattr(events_route, "SEND_S", 0.2)
    monkeypatch.setattr(centre.feed, "follow", lambda *_: endless())
    _, writer = await asyncio.open_connection(centre.client.base_url.host, centre.client.base_url.port, limit=1)
    writer.write(f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    async with asyncio.timeout(DEADLINE_S):
        await ended.wait()
        while centre.feed.streams():
            await asyncio.sleep(0.01)
    writer.transport.abort()


async def test_who_reads_too_slowly_is_over_and_holds_no_memory():
    listener, portion = Listener(), Portion([Event("hamburg", frozenset(), "engine", b"x" * 1_000_000)], "id")
    for _ in range(WAITING_BYTES // 1_000_000):
        listener.put(portion)
    assert not listener.is_over
    assert await listener.next(0) is portion
    listener.put(portion)
    listener.put(portion)
    assert listener.is_over
    assert await listener.next(0) is None


def test_the_id_comes_with_the_last_event_that_a_listener_is_told():
    events = [Event(site, frozenset(), "engine", site.encode()) for site in ("hamburg", "bremen")]
    portion = Portion(events, "7")
    assert portion.told(Wanted(), None) == b"hamburgid: 7\nbremen"
    assert portion.told(Wanted(), frozenset({"hamburg"})) == b"id: 7\nhamburg"
    assert portion.told(Wanted(site="kiel"), None) == b""
