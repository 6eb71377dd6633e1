"""The embedded broker, with real clients."""

import asyncio
import socket

import aiomqtt
import pytest

from aggregator.broker import embedded_broker
from shared.errors import SpoolwatchError


@pytest.fixture
async def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with embedded_broker("127.0.0.1", port):
        yield port


def client(port, name):
    return aiomqtt.Client("127.0.0.1", port, identifier=name, protocol=aiomqtt.ProtocolVersion.V311)


async def test_a_client_hears_what_is_retained_for_its_own_filters_and_nothing_else(port):
    async with client(port, "a") as first, client(port, "b") as second:
        await first.subscribe("own/a", qos=1)
        await first.publish("own/a", "of a", qos=1, retain=True)
        await first.publish("own/b", "of b", qos=1, retain=True)
        async with client(port, "c") as late:
            await late.subscribe("own/b", qos=1)
            await second.publish("own/b", "the last", qos=1)
            heard = []
            async with asyncio.timeout(30):
                async for message in late.messages:
                    heard.append((str(message.topic), bytes(message.payload)))
                    if heard[-1][1] == b"the last":
                        break
    assert set(heard) == {("own/b", b"of b"), ("own/b", b"the last")}


async def test_connections_end_with_it_those_too_that_have_not_said_whose_they_are(free_tcp_port):
    async with embedded_broker("127.0.0.1", free_tcp_port):
        reader, writer = await asyncio.open_connection("127.0.0.1", free_tcp_port)
        async with client(free_tcp_port, "a"):
            pass  # by when the one before was let in
    async with asyncio.timeout(30):
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_a_port_that_is_taken_is_named_with_what_to_do(port):
    with pytest.raises(SpoolwatchError, match=r"cannot listen on .* choose another --broker\.port"):
        async with embedded_broker("127.0.0.1", port):
            pass
