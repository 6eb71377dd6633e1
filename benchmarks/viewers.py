"""A child process that keeps pages open as browsers do, all but the drawing: it connects, is told, and acknowledges."""

import asyncio
import json
import re
import sys
from typing import Any

import httpx
from socketio import AsyncClient

CLIENT_ID = re.compile(r"'client_id': '([0-9a-f-]{36})'")
ACK_EVERY_S = 3.0  # as NiceGUI's own script does


class Viewer:
    """One open page.

    Attributes:
        told: how many messages the server has sent for it.
        told_bytes: as how much JSON.
    """

    def __init__(self, number: int) -> None:
        self.told = self.told_bytes = 0
        self._number = number
        self._socket = AsyncClient(reconnection=False)
        self._socket.on("*", self._hear)

    async def open(self, url: httpx.URL) -> None:
        """Fetch the page and connect to it.

        Raises:
            RuntimeError: the page does not say by which name it is to be connected to.
        """
        async with httpx.AsyncClient(timeout=60) as client:
            page = (await client.get(url, follow_redirects=True)).raise_for_status().text
        found = CLIENT_ID.search(page)
        if found is None:
            raise RuntimeError(f"{url} is no page of NiceGUI, or one that tells its client_id in another way")
        self._client_id = found[1]
        query = {"client_id": found[1], "next_message_id": 0, "implicit_handshake": "true"}
        query |= dict.fromkeys(("document_id", "tab_id"), f"viewer-{self._number}")
        server = str(url.copy_with(path="/", params=query))
        await self._socket.connect(server, transports=["websocket"], socketio_path="_nicegui_ws/socket.io")

    async def acknowledge(self) -> None:
        """Say what has been heard, so that the server need not keep it."""
        await self._socket.emit("ack", {"client_id": self._client_id, "next_message_id": self.told})

    async def close(self) -> None:
        await self._socket.disconnect()

    async def _hear(self, _event: str, message: Any) -> None:
        self.told += 1
        self.told_bytes += len(json.dumps(message))


async def main(url: str, pages: int) -> None:
    """Open the pages, print ``ready``, keep them until a line comes, and print what they were told as JSON."""
    viewers = [Viewer(number) for number in range(pages)]
    for viewer in viewers:
        await viewer.open(httpx.URL(url))
    print("ready", flush=True)
    ended = asyncio.ensure_future(asyncio.to_thread(sys.stdin.readline))
    while not (await asyncio.wait([ended], timeout=ACK_EVERY_S))[0]:
        for viewer in viewers:
            await viewer.acknowledge()
    told, told_bytes = [viewer.told for viewer in viewers], sum(viewer.told_bytes for viewer in viewers)
    print(json.dumps({"told_least": min(told), "told_most": max(told), "told_bytes": told_bytes}), flush=True)
    for viewer in viewers:
        await viewer.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
