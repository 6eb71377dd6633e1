"""P8 at the broker: the real mosquitto as deploy/mosquitto configures it, its users kept by the real ingest."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from paho.mqtt import client as paho
from sqlmodel import select
from structlog.testing import capture_logs

from aggregator.access.authority import Authority, user_of_centre, user_of_gateway
from aggregator.access.roles import FULL_ACCESS, Caller
from aggregator.enrolment import Enrolment, Welcome
from aggregator.ingest import broker_users
from aggregator.ingest.broker_users import CONTROL, RESPONSE, first_configuration
from aggregator.ingest.encryption import broker_tls
from aggregator.settings import BrokerSettings
from aggregator.store.registry import register_gateway
from aggregator.store.tables import GatewayCertificate
from edge_agent.identity import NewKey
from shared.topics import KINDS

ROOT = Caller("root on this machine", FULL_ACCESS)
OWN, FOREIGN, ELSEWHERE = "spoolwatch/v1/hamburg/gw-1", "spoolwatch/v1/hamburg/gw-2", "spoolwatch/v1/bremen/gw-1"
CENTRE_STATUS = "spoolwatch/v1/centre/+/status"
PUBLISHES, READS = {"records", "backfill", "status", "reply"}, {"ack", "status", "command", "engine-desired"}
GRANTED, DENIED = 1, 0x87
CONNECTED = 0


class Peer:
    """An MQTT 5 client with a certificate, which does what it likes."""

    def __init__(self, port, tls, *, will=None, client_id="peer", transport="tcp"):
        self.ended, self.received = asyncio.Event(), []
        self._loop, self._answers = asyncio.get_running_loop(), {}
        self._connected = self._loop.create_future()
        self._client = paho.Client(
            *(paho.CallbackAPIVersion.VERSION2, client_id),
            protocol=paho.MQTTv5,
            transport=transport,
            reconnect_on_failure=False,
        )
        self._client.tls_set_context(tls)
        if will is not None:
            self._client.will_set(will, b"forged", qos=1, retain=True)
        self._client.on_connect = lambda *event: self._tell(self._connected.set_result, event[3].value)
        self._client.on_disconnect = lambda *_: self._tell(self.ended.set)
        self._client.on_message = lambda _c, _u, message: self._tell(self.received.append, message.topic)
        self._client.on_subscribe = lambda _c, _u, mid, codes, _p: self._tell(self._answer, mid, codes[0].value)
        self._client.on_publish = lambda _c, _u, mid, code, _p: self._tell(self._answer, mid, code.value)
        self._port = port

    async def open(self):
        """Whether the broker takes it."""
        ended = asyncio.create_task(self.ended.wait())
        async with asyncio.timeout(60):
            await asyncio.to_thread(self._client.connect, "127.0.0.1", self._port)
            self._client.loop_start()
            await asyncio.wait({ended, self._connected}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        return self._connected.done() and self._connected.result() == CONNECTED

    def close(self):
        self._client.disconnect()
        self._client.loop_stop()

    def break_off(self):
        """As a power cut would."""
        self._client.socket().shutdown(2)
        self._client.loop_stop()

    async def subscribe(self, *filters):
        return {one: await self._ask(partial(self._client.subscribe, one, 1)) for one in filters}

    async def publish(self, *topics, payload=b"x", retain=False):
        return {one: await self._ask(partial(self._client.publish, one, payload, 1, retain)) for one in topics}

    async def _ask(self, send):
        answer = self._loop.create_future()
        self._answers[send()[1]] = answer
        async with asyncio.timeout(60):
            return await answer

    def _answer(self, mid, code):
        self._answers.pop(mid).set_result(code)

    def _tell(self, callback, *arguments):
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback, *arguments)


class Site:
    """A broker and a centre, to which gateways are let in."""

    def __init__(self, folder, broker, store, authority, enrolment):
        self.broker, self.authority = broker, authority
        self._folder, self._store, self._enrolment = folder, store, enrolment
        self._peers = []

    def enrol(self, name, clock, site="hamburg"):
        """The TLS context of a new gateway, and what the broker calls it."""
        register_gateway(self._store, name, site, clock(), by=ROOT)
        key, token = NewKey(), self._enrolment.invite(name, ROOT).token
        certificate = self._enrolment.enrol(token.text, key.request_pem, None).certificate
        return self.context(key.with_certificate(certificate.pem)), user_of_gateway(name, certificate.id)

    def context(self, pem, authority=None):
        file = self._folder / "peer.pem"
        file.write_bytes(pem)
        context = ssl.create_default_context(cadata=(authority or self.authority).pem)
        context.load_cert_chain(file)
        return context

    async def knock(self, tls, **options):
        """A new client, and whether the broker takes it."""
        websockets = options.get("transport") == "websockets"
        self._peers.append(Peer(self.broker.websocket_port if websockets else self.broker.port, tls, **options))
        return self._peers[-1], await self._peers[-1].open()

    async def peer(self, tls, **options):
        peer, is_in = await self.knock(tls, **options)
        assert is_in
        return peer

    def users(self):
        return self.broker.users_file.read_text()

    def close(self):
        for peer in self._peers:
            peer.close()


@pytest.fixture
def authority(clock):
    return Authority.draw(clock())


@pytest.fixture
def enrolment(store, authority, clock):
    return Enrolment(store, authority, Welcome("127.0.0.1", 8883, "tcp", "/mqtt", ""), clock)


@pytest.fixture
def clock(clock):
    """Certificates are judged by mosquitto, whose clock no test sets."""
    clock.at = datetime.now(UTC)
    return clock


@pytest.fixture
async def site(tmp_path, secure_mosquitto, store, authority, enrolment, clock, ingest_at, eventually):
    key, certificate = authority.issue_server(["127.0.0.1"], clock())
    folder = tmp_path / "broker"
    for name, content in {"ca.crt": authority.pem.encode(), "server.crt": certificate, "server.key": key}.items():
        (folder / name).write_bytes(content)
    secure_mosquitto.users_file.write_bytes(first_configuration([user_of_centre("a")]))
    secure_mosquitto.start()
    settings = BrokerSettings(
        kind="external", port=secure_mosquitto.port, tls=True, dynamic_security=True, share_group="centres"
    )
    async with ingest_at(settings, tls=broker_tls(settings, authority, "a")) as ingest:
        await eventually(lambda: ingest.status.connected)
        site = Site(tmp_path, secure_mosquitto, store, authority, enrolment)
        yield site
        site.close()


@pytest.fixture
async def gateway(site, clock, eventually):
    """Gateway gw-1, let in, and what the broker calls it; gw-2 is, too."""
    site.enrol("gw-2", clock)
    tls, user = site.enrol("gw-1", clock)
    await eventually(lambda: user in site.users())
    return await site.peer(tls)


async def test_p8_a_gateway_reads_and_says_only_what_is_its_own(gateway):
    topics = [f"{place}/{kind}" for place in (OWN, FOREIGN, ELSEWHERE) for kind in sorted(KINDS)]
    wild = ["#", "+/#", "spoolwatch/#", f"{OWN}/#", f"{OWN}/+", "spoolwatch/v1/+/+/ack", "spoolwatch/v1/+/gw-1/ack"]
    wild += ["spoolwatch/v1/hamburg/+/command", "spoolwatch/v1/+/+/+", "$SYS/#", "$CONTROL/#", RESPONSE]
    shared = [f"$share/thief/{one}" for one in ("#", f"{FOREIGN}/ack", f"{OWN}/ack", "spoolwatch/v1/+/+/records")]
    centre = [CENTRE_STATUS, "spoolwatch/v1/centre/a/status", "spoolwatch/v1/centre/b/status"]

    own_reads = {f"{OWN}/{kind}" for kind in READS} | {CENTRE_STATUS}
    answers = await gateway.subscribe(*topics, *wild, *shared, *centre)
    assert {one for one, code in answers.items() if code == GRANTED} == own_reads
    assert {code for one, code in answers.items() if one not in own_reads} == {DENIED}

    own_words = {f"{OWN}/{kind}" for kind in PUBLISHES}
    said = await gateway.publish(*topics, *centre[1:], CONTROL, RESPONSE, "$SYS/x", "elsewhere")
    assert {one for one, code in said.items() if code != DENIED} == own_words


async def test_p8_what_is_refused_reaches_nobody(gateway, site, clock, eventually):
    tls, user = site.enrol("gw-2", clock)
    await eventually(lambda: user in site.users())
    other = await site.peer(tls)
    await other.subscribe(f"{FOREIGN}/ack", f"{FOREIGN}/command", f"{FOREIGN}/status", CENTRE_STATUS)
    await gateway.publish(f"{FOREIGN}/ack", f"{FOREIGN}/command", f"{FOREIGN}/status", "spoolwatch/v1/centre/a/status")
    before = len(other.received)
    await other.publish(f"{FOREIGN}/status")
    await eventually(lambda: f"{FOREIGN}/status" in other.received)
    assert other.received[before:] == [f"{FOREIGN}/status"]


async def test_p8_a_will_in_anothers_name_is_not_carried_out(site, clock, eventually, gateway):
    tls, user = site.enrol("gw-3", clock)
    await eventually(lambda: user in site.users())
    await gateway.subscribe(f"{OWN}/status")
    forger = await site.peer(tls, will=f"{OWN}/status")
    forger.break_off()
    honest = await site.peer(tls, will="spoolwatch/v1/hamburg/gw-3/status")
    honest.break_off()
    await gateway.publish(f"{OWN}/status")
    await eventually(lambda: gateway.received)
    late = await site.peer(tls)
    await late.subscribe("spoolwatch/v1/hamburg/gw-3/status")
    await eventually(lambda: late.received)
    assert gateway.received == [f"{OWN}/status"]


async def test_p8_nobody_ends_anothers_session_by_taking_its_client_id(site, clock, eventually, gateway):
    tls, user = site.enrol("gw-3", clock)
    await eventually(lambda: user in site.users())
    names = {"gw-1", next(one for one in site.users().split('"') if one.endswith("CN=gw-1"))}
    for name in names | {"spoolwatch-centre-a", user_of_centre("a")}:
        await (await site.peer(tls, client_id=name)).publish("spoolwatch/v1/hamburg/gw-3/records")
    assert (await gateway.publish(f"{OWN}/records"))[f"{OWN}/records"] != DENIED
    assert not gateway.ended.is_set()


async def test_p8_without_a_certificate_of_this_centre_there_is_no_connection(site, clock, gateway):
    other = Authority.draw(clock())
    key = NewKey()
    stranger = other.sign_gateway(key.request_pem, "gw-1", clock(), timedelta(days=1))
    for context in (
        ssl.create_default_context(cadata=site.authority.pem),
        site.context(key.with_certificate(stranger.pem)),
    ):
        assert (await site.knock(context))[1] is False
    assert not gateway.ended.is_set()


async def test_p8_a_server_certificate_is_no_clients(site, clock):
    key, certificate = site.authority.issue_server(["127.0.0.1"], clock())
    assert (await site.knock(site.context(key + certificate)))[1] is False


async def test_p8_who_is_revoked_is_cut_off_and_does_nothing_from_then_on(site, gateway, enrolment, clock, eventually):
    tls, user = site.enrol("gw-1", clock)  # which ends the one before
    await asyncio.wait_for(gateway.ended.wait(), 60)
    await eventually(lambda: user in site.users())
    again = await site.peer(tls)
    assert (await again.publish(f"{OWN}/records"))[f"{OWN}/records"] != DENIED
    enrolment.revoke("gw-1", ROOT)
    await asyncio.wait_for(again.ended.wait(), 60)
    back = await site.peer(tls, will=f"{OWN}/status")
    topics = [f"{OWN}/{kind}" for kind in sorted(KINDS)]
    assert set((await back.publish(*topics)).values()) == {DENIED}
    assert set((await back.subscribe(*topics, CENTRE_STATUS)).values()) == {DENIED}


async def test_p8_a_gateway_behind_a_firewall_comes_by_websockets_with_the_same_rights(site, clock, eventually):
    tls, user = site.enrol("gw-1", clock)
    await eventually(lambda: user in site.users())
    gateway = await site.peer(tls, transport="websockets")
    said = await gateway.publish(f"{OWN}/records", f"{FOREIGN}/records", f"{OWN}/ack")
    assert [code == DENIED for code in said.values()] == [False, True, True]
    heard = await gateway.subscribe(f"{OWN}/ack", f"{FOREIGN}/ack")
    assert list(heard.values()) == [GRANTED, DENIED]


async def test_a_broker_that_has_forgotten_everybody_is_told_again(site, gateway, clock, eventually):
    tls, user = site.enrol("gw-3", clock)
    await eventually(lambda: user in site.users())
    site.broker.kill()
    stranger = user_of_gateway("gw-2", "00")
    site.broker.users_file.write_bytes(first_configuration([user_of_centre("a"), stranger]))
    site.broker.start()
    await eventually(lambda: user in site.users() and stranger not in site.users())
    assert (await (await site.peer(tls)).publish("spoolwatch/v1/hamburg/gw-3/records")).popitem()[1] != DENIED


async def test_p8_an_expired_certificate_ends_the_session_that_it_began(site, gateway, store, clock):
    with store.session(writes=True) as session:
        for row in session.exec(select(GatewayCertificate)):
            row.expires_at = clock()
        session.commit()
    await asyncio.wait_for(gateway.ended.wait(), 60)


async def test_a_broker_without_the_plugin_is_told_of_and_records_flow_all_the_same(
    mosquitto, store, ingest_at, gateway_at, recorder, eventually, monkeypatch
):
    monkeypatch.setattr(broker_users, "ANSWER_TIMEOUT_S", 0.1)
    recorder.register("E-1")
    settings = BrokerSettings(kind="external", port=mosquitto.port).model_copy(update={"dynamic_security": True})
    with capture_logs() as logs:
        async with ingest_at(settings) as ingest, gateway_at(mosquitto.port) as gateway:
            await eventually(lambda: ingest.status.connected)
            await gateway.send({1: recorder.row("E-1", 1)})
            await eventually(lambda: gateway.acks)
            await eventually(lambda: any(log["event"] == "broker_users_not_set" for log in logs))
    (told,) = {log["error"] for log in logs if log["event"] == "broker_users_not_set"}
    assert "does the broker load mosquitto_dynamic_security.so" in told
