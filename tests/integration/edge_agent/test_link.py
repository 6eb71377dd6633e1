"""The link to the broker against a real mosquitto, through a TCP proxy where the line must fail."""

import asyncio
import contextlib
import time

import pytest

from edge_agent import mqtt as mqtt_module
from edge_agent.delivery import subscriptions
from edge_agent.mqtt import Connected, Disconnected, LinkOptions, MqttLink, Outgoing, Received
from edge_agent.reconnect import SUSPICIOUS_LOSSES, Reconnects
from shared.messages import Status, decode, decode_envelope


class Line:
    """A TCP proxy that counts connections and can go silent without closing them."""

    def __init__(self, broker):
        self._broker = broker
        self.connections = 0
        self.flows = asyncio.Event()
        self.flows.set()
        self._tasks = set()

    async def open(self):
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _pass(self, reader, writer):
        self.connections += 1
        self._tasks.add(asyncio.current_task())
        far_reader, far_writer = await asyncio.open_connection(self._broker.host, self._broker.port)
        ways = [asyncio.create_task(self._pump(*way)) for way in ((reader, far_writer), (far_reader, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in (writer, far_writer):
                end.close()
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def _pump(self, reader, writer):
        while chunk := await reader.read(65536):
            await self.flows.wait()
            writer.write(chunk)
            await writer.drain()


@pytest.fixture
async def line(mosquitto):
    line = Line(mosquitto)
    await line.open()
    yield line
    await line.close()


@pytest.fixture
async def make_link(mosquitto):
    links = []

    def make(client_id="gw", *, port=mosquitto.port, will=None, reconnects=None, **options):
        options = LinkOptions(host="127.0.0.1", port=port, client_id=client_id, **options)
        links.append(MqttLink(options, will=will, reconnects=reconnects))
        links[-1].open()
        return links[-1]

    yield make
    for link in links:
        await link.close()


@pytest.fixture
async def make_broker():
    """Brokers that answer each kind of packet as they are told."""
    servers, writers = [], []

    async def make(answers):
        async def serve(reader, writer):
            writers.append(writer)
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while True:
                    kind, size = await reader.readexactly(2)
                    await reader.readexactly(size)
                    writer.write(answers.get(kind, b""))
                    await writer.drain()
            writer.close()

        servers.append(await asyncio.start_server(serve, "127.0.0.1", 0))
        return servers[-1].sockets[0].getsockname()[1]

    yield make
    for server in servers:
        server.close()
    for writer in writers:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def soon(client_id="gw"):
    """Waits as short as they may be."""
    return Reconnects(client_id, uniform=lambda low, high: low or min(high, 0.05))


async def event(link, kind, deadline_s=30):
    async with asyncio.timeout(deadline_s):
        while not isinstance(found := await link.events.get(), kind):
            pass
    return found


@pytest.mark.parametrize("version", [3, 5])
async def test_p1_a_message_of_a_lost_connection_is_not_acknowledged_on_the_next(mosquitto, make_link, version):
    """A broker that lost its sessions numbers from 1 again: the old number is that of a row that is not durable yet."""
    reading = {"version": version, "subscriptions": ["rows"], "manual_ack": True, "reconnects": soon()}
    hardware, reader = make_link("hardware", reconnects=soon()), make_link("reader", **reading)
    received = []
    for row in (b"1", b"2"):
        await event(reader, Connected)
        await event(hardware, Connected)
        hardware.publish(Outgoing("rows", row))
        received.append(await event(reader, Received))
        if len(received) == 1:
            mosquitto.kill()
            mosquitto.start()
    old, new = received
    assert old.receipt[1:] == new.receipt[1:]
    reader.acknowledge(old)
    await reader.close()
    assert (await event(make_link("reader", **reading), Received)).payload == b"2"


@pytest.mark.parametrize("version", [3, 5])
async def test_the_link_connects_again_by_itself_and_hears_its_topics(mosquitto, make_link, version):
    link = make_link(version=version, subscriptions=["a", "b"])
    await event(link, Connected)
    for _ in range(2):
        mosquitto.kill()
        assert (await event(link, Disconnected)).reason
        mosquitto.start()
        await event(link, Connected)
        link.publish(Outgoing("b", b"hello"))
        received = await event(link, Received)
        assert (received.topic, received.payload) == ("b", b"hello")


async def test_each_further_attempt_may_wait_longer_up_to_the_cap(make_link):
    bounds = []

    def draw(low, high):
        bounds.append(high)
        return 0.0

    link = make_link(port=1, reconnects=Reconnects("gw", uniform=draw))
    for _ in range(9):
        assert "nobody answers at 127.0.0.1:1" in (await event(link, Disconnected)).reason
    assert bounds[:9] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


async def test_what_was_on_its_way_when_the_line_broke_is_not_repeated_by_the_link(mosquitto, make_link, line):
    watcher = make_link("watcher", subscriptions=["a", "b"])
    link = make_link(port=line.port, reconnects=soon())
    await event(watcher, Connected)
    await event(link, Connected)
    line.flows.clear()
    link.publish(Outgoing("a", b"lost"))
    link.reconnect("tired of it")
    assert (await event(link, Disconnected)).reason == "tired of it"
    line.flows.set()
    await event(link, Connected)
    link.publish(Outgoing("b", b"new"))
    heard = [await event(watcher, Received)]
    while heard[-1].payload != b"new":
        heard.append(await event(watcher, Received))
    # The proxy may still hand on the old line's bytes once; the link itself says nothing twice.
    assert [one.payload for one in heard].count(b"lost") <= 1


async def test_a_half_open_line_is_given_up_and_replaced_on_demand(make_link, line):
    link = make_link(port=line.port, subscriptions=["a"], reconnects=soon())
    await event(link, Connected)
    line.flows.clear()
    began = time.monotonic()
    link.reconnect("the centre is silent")
    assert (await event(link, Disconnected)).reason == "the centre is silent"
    assert time.monotonic() - began < 5
    line.flows.set()
    await event(link, Connected)
    assert line.connections == 2


async def test_a_line_that_never_answers_is_given_up_by_itself(make_link, line, monkeypatch):
    monkeypatch.setattr(mqtt_module, "SETUP_TIMEOUT_S", 0.3)
    line.flows.clear()
    link = make_link(port=line.port)
    reason = (await event(link, Disconnected)).reason
    assert "does not finish connecting" in reason
    assert "mqtt_version = 3" in reason


async def test_a_refused_subscription_is_named_and_tried_again(make_link, make_broker):
    port = await make_broker({0x10: b"\x20\x02\x00\x00", 0x82: b"\x90\x03\x00\x01\x80"})
    link = make_link(port=port, version=3, subscriptions=["forbidden"], reconnects=soon())
    for _ in range(2):
        assert "refused the subscription to forbidden" in (await event(link, Disconnected)).reason


async def test_a_refused_connection_is_named_and_tried_again(make_link, make_broker):
    port = await make_broker({0x10: b"\x20\x02\x00\x05"})
    link = make_link(port=port, version=3, reconnects=soon())
    for _ in range(2):
        assert "refused the connection: Not authorized" in (await event(link, Disconnected)).reason


async def test_a_broker_that_says_that_a_second_client_has_our_id_is_believed_at_once(make_link, make_broker):
    """MQTT 5 reason code 0x8E, which the mosquitto of Debian 12 keeps to itself."""
    port = await make_broker({0x10: b"\x20\x03\x00\x00\x00" + b"\xe0\x02\x8e\x00"})
    reason = (await event(make_link(port=port), Disconnected)).reason
    assert "another client has connected as 'gw'" in reason
    assert "Session taken over" in reason


@pytest.mark.parametrize("version", [3, 5])
async def test_a_second_client_with_our_id_is_named_and_not_fought(make_link, version):
    """Both try at once and as hard as they may, until one of them gives way for long."""
    links = [make_link(version=version, reconnects=soon()) for _ in range(2)]
    reasons = []

    def listen():
        for link in links:
            while not link.events.empty():
                found = link.events.get_nowait()
                reasons.extend([found.reason] if isinstance(found, Disconnected) else [])

    async with asyncio.timeout(40):
        while not any("give each gateway its own name" in reason for reason in reasons):
            await asyncio.sleep(0.02)
            listen()
    assert len(reasons) <= 2 * SUSPICIOUS_LOSSES
    lost = len(reasons)
    quiet_until = time.monotonic() + 1.5
    while time.monotonic() < quiet_until:
        await asyncio.sleep(0.05)
        listen()
    assert len(reasons) <= lost + 1


async def test_the_last_will_is_sent_when_the_link_breaks_and_not_when_it_is_closed(mosquitto, make_link, line):
    watcher = make_link("watcher", subscriptions=["will"])
    await event(watcher, Connected)
    closed = make_link("closed", will=Outgoing("will", b"closed"), username="u", password="p")
    await event(closed, Connected)
    await closed.close()
    broken = make_link("broken", port=line.port, will=Outgoing("will", b"broken"))
    await event(broken, Connected)
    await line.close()
    assert (await event(watcher, Received)).payload == b"broken"


async def test_a_link_that_never_connected_can_be_closed_at_once(make_link):
    began = time.monotonic()
    link = make_link(port=1)
    await link.close()
    assert time.monotonic() - began < 5


async def test_a_centre_that_never_answers_gets_one_new_connection_and_not_a_loop_of_them(make_box, make_link, line):
    box = make_box(silence_timeout_s=1.0, ack_timeout_s=0.3)
    box.outbox.accept([b"{}"] * 3)
    link = make_link(port=line.port, subscriptions=subscriptions(box.settings), reconnects=soon())
    box.start(link, monotonic_s=time.monotonic)
    delivering = asyncio.create_task(box.delivery.run())
    async with asyncio.timeout(30):
        while line.connections < 2:
            await asyncio.sleep(0.02)
    second_at = time.monotonic()
    async with asyncio.timeout(30):
        while line.connections < 3:
            await asyncio.sleep(0.02)
    assert time.monotonic() - second_at > 2.0
    delivering.cancel()
    await asyncio.gather(delivering, return_exceptions=True)


async def test_a_broker_that_takes_only_small_packets_gets_them_over_one_connection(
    make_mosquitto, make_box, make_link
):
    broker = make_mosquitto("max_packet_size 5000")
    watcher = make_link("watcher", port=broker.port, subscriptions=["spoolwatch/v1/hamburg/gw-1/+"])
    await event(watcher, Connected)
    box = make_box()
    box.outbox.accept([b'"%s"' % (b"x" * 900)] * 40 + [b'"%s"' % (b"x" * 9000)])
    link = make_link(port=broker.port, subscriptions=subscriptions(box.settings), reconnects=soon())
    box.start(link, monotonic_s=time.monotonic)
    delivering = asyncio.create_task(box.delivery.run())
    seen, births = set(), 0
    async with asyncio.timeout(30):
        while len(seen) < 40:
            message = await event(watcher, Received)
            if message.topic.endswith("status"):
                births += decode(message.payload, Status).event == "birth"
                continue
            envelope = decode_envelope(message.payload)
            seqs = [seq for seq, _ in envelope.records]
            seen.update(seqs)
            box.link.events.put_nowait(box.ack(committed=[(seq, seq) for seq in seqs]))
    assert births == 1
    assert box.delivery.view().summary == "up; 1 records get no answer or are too large, and are tried seldom"
    delivering.cancel()
    await asyncio.gather(delivering, return_exceptions=True)


async def test_a_broker_that_takes_less_than_a_status_is_refused_with_what_to_do(make_mosquitto, make_link):
    link = make_link(port=make_mosquitto("max_packet_size 2000").port, reconnects=soon())
    for _ in range(SUSPICIOUS_LOSSES + 1):
        reason = (await event(link, Disconnected)).reason
        assert reason.startswith("the broker takes packets of 2000 bytes at most, and a gateway needs 4096; raise")


async def test_what_the_line_carries_is_counted(make_link):
    link = make_link(subscriptions=["t"])
    assert await link.events.get() == Connected()
    link.publish(Outgoing("t", b"12345"))
    link.publish(Outgoing("other", b"1"))
    received = await link.events.get()
    assert (received.payload, link.sent_bytes, link.received_bytes) == (b"12345", 12, 6)
