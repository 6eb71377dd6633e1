"""The link to the broker through TLS and websockets, against the real mosquitto as deploy/mosquitto configures it."""

import asyncio
from datetime import UTC, datetime

import pytest

from aggregator.access.authority import Authority, user_of_centre
from aggregator.ingest.broker_users import first_configuration
from edge_agent.mqtt import Connected, Disconnected, LinkOptions, MqttLink, Outgoing
from edge_agent.reconnect import Reconnects
from shared.tls import Tls

TOPIC = "spoolwatch/v1/+/+/records"


@pytest.fixture
def authority():
    return Authority.draw(datetime.now(UTC))


@pytest.fixture
def broker(secure_mosquitto, authority, tmp_path):
    """A broker that calls itself broker.internal, and lets in who shows centre.pem."""
    now = datetime.now(UTC)
    key, certificate = authority.issue_server(["broker.internal"], now)
    files = {"ca.crt": authority.pem.encode(), "server.crt": certificate, "server.key": key}
    for name, content in files.items():
        (tmp_path / "broker" / name).write_bytes(content)
    (tmp_path / "centre.pem").write_bytes(authority.issue_centre("a", now))
    secure_mosquitto.users_file.write_bytes(first_configuration([user_of_centre("a")]))
    secure_mosquitto.start()
    return secure_mosquitto


@pytest.fixture
def tls(tmp_path):
    return Tls(tmp_path / "broker" / "ca.crt", tmp_path / "centre.pem", server_name="broker.internal")


@pytest.fixture
async def connect(broker):
    links = []

    def make(tls, *, websockets=False):
        place = {"port": broker.websocket_port, "websocket_path": "/mqtt"} if websockets else {"port": broker.port}
        options = LinkOptions(host="127.0.0.1", client_id="gw-1", tls=tls, subscriptions=(TOPIC,), **place)
        soon = Reconnects("gw-1", uniform=lambda low, high: low or min(high, 0.05))
        links.append(MqttLink(options, reconnects=soon))
        links[-1].open()
        return links[-1]

    yield make
    for link in links:
        await link.close()


async def event(link, kind):
    async with asyncio.timeout(60):
        while not isinstance(found := await link.events.get(), kind):
            pass
    return found


@pytest.mark.parametrize("websockets", [False, True])
async def test_what_is_published_is_taken(connect, tls, websockets):
    link = connect(tls, websockets=websockets)
    await event(link, Connected)
    link.publish(Outgoing("spoolwatch/v1/centre/a/status", b"\x00" * 100_000))
    await asyncio.to_thread(link.publish(Outgoing("spoolwatch/v1/centre/a/status", b"last")).wait_for_publish, 60)


@pytest.mark.parametrize("websockets", [False, True])
async def test_p8_a_broker_of_another_authority_is_not_spoken_to(connect, tls, tmp_path, websockets):
    other = tmp_path / "other.crt"
    other.write_text(Authority.draw(datetime.now(UTC)).pem)
    ended = await event(connect(Tls(other, tls.cert_file, None, tls.server_name), websockets=websockets), Disconnected)
    assert "no TLS with 127.0.0.1:" in ended.reason
    assert "certificate" in ended.reason


async def test_p8_a_broker_of_another_name_is_not_spoken_to(connect, tls):
    ended = await event(connect(Tls(tls.ca_file, tls.cert_file)), Disconnected)
    assert "certificate is not valid for '127.0.0.1'" in ended.reason


async def test_a_file_that_is_missing_is_told_and_read_once_it_is_there(connect, tls, tmp_path):
    late = tmp_path / "late.pem"
    link = connect(Tls(tls.ca_file, late, None, tls.server_name))
    assert (await event(link, Disconnected)).reason == f"broker.cert_file {late}: No such file or directory"
    late.write_bytes(tls.cert_file.read_bytes())
    await event(link, Connected)


async def test_what_is_no_certificate_is_told(connect, tls, tmp_path):
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("nothing")
    for files, told in (((wrong, tls.cert_file), "broker.ca_file"), ((tls.ca_file, wrong), "broker.cert_file")):
        ended = await event(connect(Tls(*files)), Disconnected)
        assert f"{told} {wrong}: no usable certificate and key in PEM format" in ended.reason
