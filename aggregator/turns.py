"""Lets each caller have one thing done at a time, so that nobody's many requests hold up another's one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from shared.errors import SpoolwatchError

CALLER_WAITING_MAX = 200  # two of the longest batches
WAITING_MAX = 1000


class BusyError(SpoolwatchError):
    """So much waits already, of all callers, that no more is taken."""


class TooManyWaitingError(SpoolwatchError):
    """A caller has as much waiting as anyone may."""


@dataclass(slots=True)
class _Line:
    """Who waits of one caller, whoever is being served included."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


class Turns:
    """Whose turn it is: of each caller who has come first; of one event loop."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._waiting = 0

    @asynccontextmanager
    async def take(self, caller: str) -> AsyncIterator[None]:
        """Wait for a turn of this caller, and keep it for the block.

        Raises:
            TooManyWaitingError: this caller has too much waiting.
            BusyError: all together have.
        """
        line = self._lines.get(caller) or _Line()
        if line.waiting >= CALLER_WAITING_MAX:
            raise TooManyWaitingError(
                f"{line.waiting} predictions that you asked for wait at the centre already; "
                "ask again once some of them are answered"
            )
        if self._waiting >= WAITING_MAX:
            raise BusyError(f"{self._waiting} predictions wait at the centre already; try again in a moment")
        self._lines[caller] = line
        line.waiting += 1
        self._waiting += 1
        try:
            async with line.turn:
                yield
        finally:
            line.waiting -= 1
            self._waiting -= 1
            if not line.waiting:
                del self._lines[caller]
