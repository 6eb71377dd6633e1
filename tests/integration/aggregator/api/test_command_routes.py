"""What people ask of gateways over the API; a gateway is played that answers through ingest."""

import asyncio

import httpx
import pytest
from msgspec.structs import replace
from sqlalchemy import select

from aggregator.api.app import create_app
from aggregator.ingest.status import IngestStatus
from aggregator.store.arrivals import ReplyArrival
from aggregator.store.commit import commit
from aggregator.store.installations import remove
from aggregator.store.registry import edit_engine
from aggregator.store.tables import AuditEntry, MissingRange, Stream, core
from shared.bundle import find_bundle
from shared.messages import Predict, Reply, RestartSource, SendAgain
from shared.predictor import load_bundle
from shared.topics import GatewayTopic

COMMANDS = "/api/v1/gateways/gw-1/commands"
PREDICT = "/api/v1/engines/E-1/predict"


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, new_store):
    return new_store(request.param)


class FakeGateway:
    """Hears commands as the broker would hand them on, and answers into the store as ingest does."""

    def __init__(self, recorder):
        self.recorder, self.store = recorder, recorder.store
        self.heard = []
        self.answers_by = None

    def issue(self, command):
        self.heard.append(command)
        if self.answers_by is not None:
            self.answers_by(command)

    def add(self, outcome):
        raise AssertionError("nothing else is to be published here")

    def reply(self, command, gateway="gw-1", site="hamburg", **fields):
        reply = Reply(**({"command_id": command.command_id, "outcome": "done"} | fields))
        topic = GatewayTopic(site, gateway, "reply")
        return commit(self.store, [ReplyArrival(topic, reply, self.recorder.clock())])

    def predict(self, command, cycle=7, **fields):
        prediction = self.recorder.prediction(command.order.engine, cycle, q50=33)
        return replace(prediction, origin="command", request_id=command.command_id, **fields)

    def do(self, command):
        """Answer as an agent does."""
        if isinstance(command.order, Predict):
            self.recorder.send(self.predict(command))
        self.reply(command)


@pytest.fixture
def gateway(recorder):
    return FakeGateway(recorder)


@pytest.fixture
async def make_client(store, clock, token_key, gateway):
    clients = []

    def make(orders=gateway, connected=True):
        app = create_app(store, IngestStatus(connected=connected), clock, key=token_key, orders=orders)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        clients.append(httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1"))
        return clients[-1]

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
def client(make_client):
    return make_client()


@pytest.fixture(autouse=True)
def _online(recorder):
    recorder.engine("E-1", cycle=7)
    recorder.status("heartbeat", engines=["E-1"])


async def test_a_gateway_predicts_and_the_answer_is_waited_for(client, gateway, store):
    gateway.answers_by = gateway.do
    answer = await client.post(PREDICT, params={"wait_s": 30})
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert (made["state"], made["reason"]) == ("done", None)
    assert (made["prediction"]["origin"], made["prediction"]["rul"]["q50_cycles"]) == ("command", 33)
    (command,) = gateway.heard
    assert (command.order, command.gateway, command.site) == (Predict(engine="E-1"), "gw-1", "hamburg")
    assert made["request_id"] == made["prediction"]["request_id"] == command.command_id
    assert (command.expires_at - command.issued_at).total_seconds() == 60
    operation = (await client.get(made["operation"])).json()
    assert operation == made
    with store.engine.connect() as connection:
        entries = connection.execute(select(core(AuditEntry)).where(core(AuditEntry).c.action == "gateway.command"))
        (entry,) = entries
    assert (entry.subject, entry.after["action"], entry.after["engine"]) == ("gateway gw-1", "predict", "E-1")


async def test_what_became_of_a_request_goes_where_its_engine_goes(client, gateway, recorder, store, clock, bearer):
    gateway.answers_by = gateway.do
    operation = (await client.post(PREDICT, params={"wait_s": 30}, headers=bearer())).json()["operation"]
    clock.advance(1)
    remove(store, "E-1", clock(), clock())
    edit_engine(store, "E-1", {"site": "berlin"}, clock())
    viewers = [bearer(f"viewer@{site}") for site in ("hamburg", "berlin", "*")]
    answers = [await client.get(operation, headers=viewer) for viewer in viewers]
    assert [answer.status_code for answer in answers] == [404, 200, 200]
    assert answers[1].json()["prediction"]["rul"]["q50_cycles"] == 33


async def test_where_no_answer_comes_in_time_there_is_a_place_to_look_for_it(client, gateway, clock, recorder):
    answer = await client.post(PREDICT, params={"wait_s": 0})
    assert (answer.status_code, answer.json()["state"], answer.json()["prediction"]) == (202, "waiting", None)
    place = answer.headers["Location"]
    assert (place, answer.headers["Retry-After"]) == (answer.json()["operation"], "1")
    gateway.reply(gateway.heard[0])
    assert (await client.get(place)).json()["state"] == "waiting"  # the record itself is not here yet
    clock.advance(61)
    assert (await client.get(place)).json()["state"] == "waiting"  # and will come, for the gateway has it on its disk
    clock.advance(3600)
    assert (await client.get(place)).json()["state"] == "expired"
    recorder.send(gateway.predict(gateway.heard[0]))
    assert (await client.get(place)).json()["state"] == "done"


async def test_a_gateway_that_never_answers_lets_the_request_expire_and_may_answer_late(
    client, gateway, clock, recorder
):
    place = (await client.post(PREDICT, params={"wait_s": 0.2})).headers["Location"]
    clock.advance(61)
    assert (await client.get(place)).json()["state"] == "expired"
    recorder.send(gateway.predict(gateway.heard[0]))
    assert (await client.get(place)).json()["prediction"]["origin"] == "command"


async def test_the_word_of_another_gateway_or_about_another_engine_counts_for_nothing(client, gateway, recorder):
    recorder.engine("E-2", gateway="gw-2")
    recorder.engine("E-3")
    place = (await client.post(PREDICT, params={"wait_s": 0})).headers["Location"]
    (command,) = gateway.heard
    gateway.reply(command, gateway="gw-2", outcome="refused", reason="a lie")
    gateway.reply(command, site="bremen", outcome="refused", reason="a lie")
    for engine, sender in (("E-2", "gw-2"), ("E-3", "gw-1")):
        lie = replace(gateway.predict(command, cycle=9), engine=engine)
        recorder.send(lie, gateway=sender)
    assert (await client.get(place)).json()["state"] == "waiting"
    gateway.reply(command, outcome="refused", reason="the first word")
    gateway.reply(command, outcome="done")
    shown = (await client.get(f"{COMMANDS}/{command.command_id}")).json()
    assert (shown["state"], shown["reason"], shown["engine"]) == ("refused", "the first word", "E-1")


@pytest.mark.parametrize("status", ["offline", "silent", "disconnected", "refusing"])
async def test_where_the_gateway_cannot_the_centre_predicts_and_says_why(status, make_client, gateway, recorder, clock):
    client = make_client(connected=status != "disconnected")
    predictor = load_bundle(find_bundle("turbofan"))
    names = [channel.name for channel in predictor.manifest.channels]
    for cycle, values in enumerate(predictor.manifest.golden_histories[0].rows, 8):
        recorder.send(recorder.row("E-1", cycle, dict(zip(names, values, strict=True))))
    recorder.send(recorder.prediction("E-1", cycle, model=predictor.model_ref))
    if status == "offline":
        clock.advance(60)
        recorder.status("will")
    elif status == "silent":
        clock.advance(3600)
    gateway.answers_by = lambda command: gateway.reply(command, outcome="refused", reason="no row of it has come")
    answer = (await client.post(PREDICT, params={"wait_s": 30})).json()
    expected = {
        "offline": "gateway gw-1 is offline: last will received",
        "silent": "gateway gw-1 is stale: heartbeat",
        "disconnected": "the centre has no connection to the broker now",
        "refusing": "its gateway refused: no row of it has come",
    }
    assert expected[status] in answer["reason"]
    assert (answer["state"], answer["prediction"]["origin"], answer["operation"]) == ("done", "centre", None)
    assert len(gateway.heard) == (status == "refusing")


async def test_where_neither_can_both_reasons_are_told(client, recorder, clock):
    clock.advance(60)
    recorder.status("will")
    answer = await client.post(PREDICT)
    assert answer.status_code == 409
    assert "not installed at the centre" in answer.json()["detail"]
    assert "gateway gw-1 is offline" in answer.json()["detail"]


async def test_many_engines_are_asked_for_at_once(client, gateway, recorder):
    recorder.engine("E-2", gateway="gw-2")
    recorder.status("heartbeat", gateway="gw-2")
    gateway.answers_by = lambda command: gateway.do(command) if command.gateway == "gw-1" else None
    wishes = {"engines": [{"engine": "E-1"}, {"engine": "E-2"}, {"engine": "E-9"}]}
    answer = await client.post("/api/v1/predictions", json=wishes, params={"wait_s": 1})
    items = answer.json()["items"]
    assert [item["result"] and item["result"]["state"] for item in items] == ["done", "waiting", None]
    assert items[2]["problem"]["status"] == 404


async def test_two_wait_for_their_own_answers_at_the_same_time(client, gateway):
    asked = [asyncio.create_task(client.post(PREDICT, params={"wait_s": 30})) for _ in range(2)]
    while len(gateway.heard) < 2:
        await asyncio.sleep(0.01)
    gateway.recorder.send(gateway.predict(gateway.heard[1]), gateway.predict(gateway.heard[0]))
    answers = [(await one).json() for one in asked]
    assert {one["request_id"] for one in answers} == {command.command_id for command in gateway.heard}
    assert all(one["prediction"]["request_id"] == one["request_id"] for one in answers)


async def test_records_are_sent_again_and_what_is_gone_is_told(client, gateway):
    answer = await client.post(COMMANDS, json={"action": "resend", "ranges": [[1, 2], [5, 9]]})
    assert answer.status_code == 202
    assert answer.json()["state"] == "waiting"
    (command,) = gateway.heard
    assert command.order == SendAgain(stream_id="stream-gw-1", ranges=[(1, 2), (5, 9)])
    gateway.reply(command, stream_id="stream-gw-1", unavailable=[(8, 9)])
    gateway.reply(command, stream_id="stream-gw-1", unavailable=[(5, 5)])
    gateway.reply(command, stream_id="stream-gw-1", unavailable=[(5, 5)])
    shown = (await client.get(answer.headers["Location"])).json()
    assert (shown["action"], shown["state"], shown["unavailable"]) == ("resend", "done", [[5, 5], [8, 9]])


async def test_a_gateway_cannot_call_unavailable_what_it_was_not_asked_for(client, gateway):
    place = (await client.post(COMMANDS, json={"action": "resend", "ranges": [[1, 2], [5, 9]]})).headers["Location"]
    for first in range(1, 1000, 10):
        gateway.reply(gateway.heard[0], stream_id="stream-gw-1", unavailable=[(first, first), (first + 5, first + 5)])
    assert (await client.get(place)).json()["unavailable"] == [[1, 1], [6, 6]]


@pytest.mark.parametrize("stream", ["stream-gw-1", "never-heard-of"])
@pytest.mark.parametrize("sender", ["gw-1", "gw-2"])
async def test_what_a_person_asked_for_in_vain_is_not_missing_for_good(
    client, gateway, recorder, store, stream, sender
):
    """It may not have been there yet, and a restored store would never ask for it."""
    recorder.engine("E-2", gateway="gw-2")
    with store.engine.connect() as connection:
        streams = connection.execute(select(core(Stream))).all()
    body = {"action": "resend", "ranges": [[1, 1000]], "stream_id": stream}
    assert (await client.post(COMMANDS, json=body)).status_code == 202
    gateway.reply(gateway.heard[0], gateway=sender, stream_id=stream, unavailable=[(1, 1000)])
    with store.engine.connect() as connection:
        assert connection.execute(select(core(MissingRange))).all() == []
        assert connection.execute(select(core(Stream))).all() == streams


async def test_a_source_is_restarted_and_the_answer_is_waited_for(client, gateway):
    gateway.answers_by = gateway.do
    answer = await client.post(COMMANDS, json={"action": "restart_source"}, params={"wait_s": 30})
    assert (answer.status_code, answer.json()["state"]) == (200, "done")
    assert gateway.heard[0].order == RestartSource()


@pytest.mark.parametrize(
    ("body", "location"),
    [
        ({"action": "fetch_raw"}, "body"),
        ({"action": "resend"}, "body.resend.ranges"),
        ({"action": "resend", "ranges": [[9, 1]]}, "body.resend.ranges"),
        ({"action": "resend", "ranges": [[0, 1]]}, "body.resend.ranges.0.0"),
        ({"action": "resend", "ranges": [[True, 5]]}, "body.resend.ranges.0.0"),
        ({"action": "resend", "ranges": [[1, 1]] * 51}, "body.resend.ranges"),
        ({"action": "restart_source", "now": True}, "body.restart_source.now"),
    ],
)
async def test_what_is_no_command_is_refused(client, gateway, body, location):
    answer = await client.post(COMMANDS, json=body)
    assert (answer.status_code, answer.json()["errors"][0]["location"]) == (422, location)
    assert gateway.heard == []


async def test_no_command_is_kept_for_a_gateway_that_cannot_be_asked(make_client, client, gateway, recorder, clock):
    body = {"action": "restart_source"}
    apart = await make_client(connected=False).post(COMMANDS, json=body)
    assert (apart.status_code, "no connection to the broker" in apart.json()["detail"]) == (409, True)
    assert (await make_client(orders=None).post(COMMANDS, json=body)).status_code == 409
    clock.advance(60)
    recorder.status("will")
    offline = await client.post(COMMANDS, json=body)
    assert (offline.status_code, "gateway gw-1 is offline" in offline.json()["detail"]) == (409, True)
    assert (await client.post("/api/v1/gateways/gw-9/commands", json=body)).status_code == 404
    assert gateway.heard == []
    assert (await client.get(COMMANDS)).json()["items"] == []


async def test_commands_are_listed_newest_first_in_pages(client, gateway, clock):
    for _ in range(3):
        await client.post(COMMANDS, json={"action": "restart_source"})
        clock.advance(1)
    first = await client.get(COMMANDS, params={"limit": 2})
    second = await client.get(first.links["next"]["url"])
    shown = [one["id"] for page in (first, second) for one in page.json()["items"]]
    assert shown == [command.command_id for command in reversed(gateway.heard)]
    for wrong in ("/api/v1/gateways/gw-9/commands", f"{COMMANDS}/{'0' * 36}", f"/api/v1/operations/{'0' * 36}"):
        assert (await client.get(wrong)).status_code == 404
    assert (await client.get(f"/api/v1/operations/{shown[0]}")).status_code == 404
    assert (await client.get(COMMANDS, params={"cursor": "x"})).status_code == 422


async def test_an_engine_that_was_never_predicted_is_by_the_model_that_its_gateway_runs(client, recorder, clock):
    recorder.register("E-5")
    answer = await client.post("/api/v1/engines/E-5/predict", json={"where": "centre"})
    assert "was never predicted" in answer.json()["detail"]


@pytest.mark.parametrize("query", [{"wait_s": 31}, {"wait_s": -1}, {"wait_s": "nan"}, {"wait": 1}])
@pytest.mark.parametrize("path", [COMMANDS, PREDICT, "/api/v1/predictions"])
async def test_nobody_waits_for_ever(client, gateway, path, query):
    body = {"action": "restart_source"} if path == COMMANDS else {"engines": [{"engine": "E-1"}]}
    answer = await client.post(path, params=query, json=None if path == PREDICT else body)
    assert (answer.status_code, gateway.heard) == (422, [])
