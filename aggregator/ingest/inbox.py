"""Holds messages between the broker and the batches: bounded in number and bytes, what does not fit is counted."""

import asyncio
from collections import deque
from datetime import datetime

from msgspec import Struct

MAX_MESSAGES = 20_000
MAX_BYTES = 64 * 1024 * 1024
SELDOM = ("/status", "/reply")
SELDOM_ROOM = 2  # times the room that records have


class Letter(Struct, frozen=True, gc=False):
    """A message as the broker delivered it."""

    topic: str
    payload: bytes
    received_at: datetime


class Inbox:
    """A queue that refuses instead of growing: gateways send again what is never acknowledged (P4).

    Records are taken until ``max_messages`` messages or ``max_bytes`` of them wait, of whatever kind; statuses and
    replies, which gateways do not send again, until twice as much does.
    """

    def __init__(self, max_messages: int = MAX_MESSAGES, max_bytes: int = MAX_BYTES) -> None:
        self._letters: deque[Letter] = deque()
        self._bytes = 0
        self._max_messages, self._max_bytes = max_messages, max_bytes
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        """The messages that wait."""
        return len(self._letters)

    def put(self, letter: Letter) -> bool:
        """Take a message in, unless there is no room for it; says whether it did."""
        times = SELDOM_ROOM if letter.topic.endswith(SELDOM) else 1
        size = self._bytes + len(letter.payload)
        if len(self._letters) >= times * self._max_messages or size > times * self._max_bytes:
            return False
        self._letters.append(letter)
        self._bytes = size
        self._filled.set()
        return True

    def fill(self) -> float:
        """How full it is, by number or bytes: at 1 it takes no more records."""
        return max(len(self._letters) / self._max_messages, self._bytes / self._max_bytes)

    def holds(self, messages: int, size: int) -> bool:
        """Whether so many messages, or so many bytes of them, wait."""
        return len(self._letters) >= messages or self._bytes >= size

    async def wait(self, timeout_s: float) -> bool:
        """Wait until something is here, at most so long; says whether there is."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._filled.wait()
        except TimeoutError:
            return False
        return True

    def take(self, max_messages: int, max_bytes: int) -> list[Letter]:
        """Take the oldest messages out: up to a number and about so many bytes, but at least one if there is any."""
        taken: list[Letter] = []
        size = 0
        while self._letters and len(taken) < max_messages and size < max_bytes:
            letter = self._letters.popleft()
            size += len(letter.payload)
            taken.append(letter)
        self._bytes -= size
        if not self._letters:
            self._filled.clear()
        return taken
