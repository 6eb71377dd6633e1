"""Raw samples that people fetch from gateways; a gateway is played that answers through ingest."""

from datetime import timedelta

import httpx
import pytest

from aggregator.api.app import create_app
from aggregator.ingest.intake import arrive
from aggregator.ingest.status import IngestStatus
from aggregator.store import samples
from aggregator.store.commands import KEPT as COMMANDS_KEPT
from aggregator.store.commands import RECORD_WITHIN, forget_old
from aggregator.store.commit import commit
from aggregator.store.samples import KEPT
from shared.messages import FetchSamples, Reply, SampleChunk, encode
from shared.topics import GatewayTopic

COMMANDS = "/api/v1/gateways/gw-1/commands"
SPAN = {"since": "2026-11-21T11:00:00Z", "until": "2026-11-21T12:00:00Z"}
WISH = {"action": "fetch_samples", "engine": "E-1", **SPAN}


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, new_store):
    return new_store(request.param)


class FakeGateway:
    """Hears commands, and sends parts of samples over the wire as an agent does."""

    def __init__(self, store, clock):
        self.store, self.clock, self.heard = store, clock, []

    def issue(self, command):
        self.heard.append(command)

    def add(self, outcome):
        raise AssertionError("nothing else is to be published here")

    def line(self, second, *values, cycle=7):
        return self.clock() + timedelta(seconds=second), cycle, list(values)

    def send(self, number, *lines, channels=("T24", "P30"), gateway="gw-1", outcome="done", **fields):
        part = SampleChunk(
            **({"engine": "E-1", "part": number, "is_last": False, "channels": channels, "lines": lines} | fields)
        )
        reply = Reply(command_id=self.heard[-1].command_id, outcome=outcome, samples=part)
        arrival = arrive(str(GatewayTopic("hamburg", gateway, "reply")), encode(reply), self.clock())
        return commit(self.store, [arrival])


@pytest.fixture
def gateway(store, clock):
    return FakeGateway(store, clock)


@pytest.fixture
async def client(store, clock, token_key, gateway, recorder):
    recorder.engine("E-1")
    recorder.status("heartbeat", engines=["E-1"])
    app = create_app(store, IngestStatus(connected=True), clock, key=token_key, orders=gateway)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


async def ask(client, **changes):
    asked = await client.post(COMMANDS, json=WISH | changes)
    assert asked.status_code == 202, asked.text
    return asked.headers["location"]


async def read(client, path):
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return answer


async def test_a_gateway_is_asked_for_samples_and_they_come_in_parts_in_any_order(client, gateway, clock):
    path = await ask(client, limit=100)
    (command,) = gateway.heard
    order = command.order
    assert isinstance(order, FetchSamples)
    assert (order.engine, f"{order.since:%H:%M}", f"{order.until:%H:%M}", order.limit) == ("E-1", "11:00", "12:00", 100)
    waiting = (await read(client, path)).json()
    assert (waiting["state"], waiting["samples"]) == ("waiting", None)
    assert {name: waiting[name] for name in ("action", "limit", *SPAN)} == {
        **{name: WISH[name] for name in ("action", *SPAN)},
        "limit": 100,
    }

    gateway.send(2, gateway.line(2, 3.5, None, cycle=None), channels=["=x", "T24"], is_last=True, is_cut=True)
    half = (await read(client, path)).json()
    assert (half["state"], half["samples"]["samples"], half["samples"]["is_whole"]) == ("waiting", 1, False)

    clock.advance(5)
    gateway.send(1, gateway.line(-5, 641.5, 553.0), gateway.line(-4, None, 553.1))
    whole = (await read(client, path)).json()
    assert (whole["state"], whole["answered_at"]) == ("done", "2026-11-21T12:00:00Z")
    assert whole["samples"] == {"samples": 3, "is_whole": True, "is_cut": True, "oldest_at": None}
    assert (await read(client, COMMANDS)).json()["items"][0]["samples"] == whole["samples"]

    answer = await read(client, f"{path}/samples.csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="E-1-samples.csv"'
    assert answer.text.splitlines() == [
        "observed_at,cycle,'=x,P30,T24",
        "2026-11-21T12:00:00+00:00,7,,553.0,641.5",
        "2026-11-21T12:00:01+00:00,7,,553.1,",
        "2026-11-21T12:00:02+00:00,,3.5,,",
    ]
    short = await read(client, f"{path}/samples.csv?fields=cycle")
    assert short.text.splitlines() == ["cycle", "7", "7", '""']


async def test_p4_where_there_are_too_many_those_of_the_oldest_command_are_given_up(
    client, gateway, clock, monkeypatch
):
    monkeypatch.setattr(samples, "KEPT_BYTES", 200)  # four samples of some 44 bytes, and not five
    paths = []
    for number in range(3):
        paths.append(await ask(client))
        gateway.send(1, gateway.line(number, 641.5, 553.0), is_last=number < 2)
        clock.advance(1)
    gateway.send(2, gateway.line(3, 641.5, 553.0), gateway.line(4, 641.5, 553.0), is_last=True)
    told = [(await read(client, path)).json()["samples"] for path in paths]
    assert [one and one["samples"] for one in told] == [None, 1, 3]
    assert [len((await read(client, f"{path}/samples.csv")).text.splitlines()) for path in paths] == [1, 2, 4]


async def test_where_there_are_none_the_answer_says_since_when_there_are(client, gateway, clock):
    path = await ask(client)
    gateway.send(1, channels=[], is_last=True, oldest_at=clock())
    told = (await read(client, path)).json()
    assert (told["state"], told["samples"]["samples"]) == ("done", 0)
    assert told["samples"]["oldest_at"] == "2026-11-21T12:00:00Z"
    assert (await read(client, f"{path}/samples.csv")).text.splitlines() == ["observed_at,cycle"]


async def test_p2_a_part_that_comes_again_counts_once(client, gateway):
    path = await ask(client)
    for value in (1.0, 2.0):
        gateway.send(1, gateway.line(0, value), channels=["T24"], is_last=True)
    assert (await read(client, f"{path}/samples.csv")).text.splitlines()[1:] == ["2026-11-21T12:00:00+00:00,7,1.0"]


async def test_p8_what_nobody_asked_for_is_not_kept(client, gateway, recorder):
    recorder.register("E-2", gateway="gw-2")
    path = await ask(client, limit=2)
    line = gateway.line(0, 1.0)
    gateway.send(1, line, channels=["T24"], gateway="gw-2")
    gateway.send(1, line, channels=["T24"], engine="E-2")
    gateway.send(1, line, line, line, channels=["T24"])
    gateway.send(1)
    assert (await read(client, path)).json()["samples"] is None
    gateway.send(1, line, channels=["T24"])
    gateway.send(2, line, line, channels=["T24"], is_last=True)
    gateway.send(3, is_last=True)
    gateway.send(4, is_last=True)
    assert (await read(client, path)).json()["samples"]["samples"] == 1
    restart = (await client.post(COMMANDS, json={"action": "restart_source"})).headers["location"]
    gateway.send(1, line, channels=["T24"])
    assert (await read(client, restart)).json()["samples"] is None
    assert (await client.get(f"{restart}/samples.csv")).status_code == 404


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([("2026-11-21T12:00:00Z", 7, [1.0, 2.0])], "2 values for 1 channels"),
        ([("0001-01-01T00:00:00+01:00", 7, [1.0])], "outside of the years"),
        ([("2026-11-21T12:00:00Z", 2**63, [1.0])], "is no cycle"),
    ],
)
async def test_a_part_that_cannot_be_used_is_set_aside_with_its_reason(client, gateway, lines, reason):
    path = await ask(client)
    chunk = {"engine": "E-1", "part": 1, "is_last": True, "channels": ["T24"], "lines": lines}
    reply = {"v": 1, "command_id": gateway.heard[-1].command_id, "outcome": "done", "samples": chunk}
    commit(gateway.store, [arrive("spoolwatch/v1/hamburg/gw-1/reply", encode(reply), gateway.clock())])
    assert (await read(client, path)).json()["state"] == "waiting"
    (kept,) = (await read(client, "/api/v1/quarantine")).json()["items"]
    assert reason in kept["reason"]


async def test_what_a_gateway_refuses_says_why_and_what_is_lost_on_the_way_expires(client, gateway, clock):
    refused = await ask(client)
    reply = Reply(command_id=gateway.heard[-1].command_id, outcome="refused", reason="no samples are kept here")
    commit(gateway.store, [arrive("spoolwatch/v1/hamburg/gw-1/reply", encode(reply), clock())])
    told = (await read(client, refused)).json()
    assert (told["state"], told["reason"]) == ("refused", "no samples are kept here")
    lost = await ask(client)
    gateway.send(2, gateway.line(0, 1.0), channels=["T24"], is_last=True)
    clock.advance(RECORD_WITHIN.total_seconds() + 1)
    told = (await read(client, lost)).json()
    assert (told["state"], told["samples"]["samples"], told["samples"]["is_whole"]) == ("expired", 1, False)


@pytest.mark.parametrize(
    "change", [{"since": SPAN["until"], "until": SPAN["since"]}, {"limit": 20_001}, {"limit": 0}, {"engine": "E 1"}]
)
async def test_a_wish_that_cannot_be_is_refused(client, gateway, change):
    assert (await client.post(COMMANDS, json=WISH | change)).status_code == 422
    assert gateway.heard == []


async def test_samples_are_forgotten_after_a_week_and_their_command_later(client, gateway, clock, store):
    path = await ask(client)
    gateway.send(1, gateway.line(0, 1.0), channels=["T24"], is_last=True)
    clock.advance(KEPT.total_seconds() + 1)
    assert forget_old(store, clock()) == 0
    assert (await read(client, path)).json()["samples"] is None
    gateway.send(1, gateway.line(0, 1.0), channels=["T24"], is_last=True)
    clock.advance(COMMANDS_KEPT.total_seconds())
    assert forget_old(store, clock()) == 1
    assert (await client.get(path)).status_code == 404
