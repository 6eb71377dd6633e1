"""What a client leaves unread is not kept for ever."""

import asyncio
import socket

import uvicorn

from aggregator import listener
from aggregator.settings import ApiSettings

LONG = b"x" * 32 * 1024 * 1024


async def answer(scope, receive, send):
    length = [(b"content-length", str(len(LONG)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": LONG})


async def test_a_client_that_reads_nothing_is_let_go(monkeypatch):
    monkeypatch.setattr(listener, "UNREAD_S", 1)
    server = uvicorn.Server(uvicorn.Config(answer, log_config=None, lifespan="off"))
    with listener.listen(ApiSettings(port=0)) as listening:
        serving = asyncio.create_task(server.serve([listening]))
        with socket.create_connection(listening.getsockname()) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            async with asyncio.timeout(60):
                while not server.server_state.connections:
                    await asyncio.sleep(0.01)
                while server.server_state.connections:
                    await asyncio.sleep(0.05)
        server.should_exit = True
        await serving
