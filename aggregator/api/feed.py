"""Follows the store for the live streams: one reader in this process, however many listen; none if nobody does."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from datetime import UTC, datetime, timedelta

import structlog
from fastapi import HTTPException

from aggregator.access.roles import Sites
from aggregator.access.tokens import CredentialsError
from aggregator.api.events import Portion, Position, Wanted, events_of, position_of, spell, spell_id
from aggregator.api.schemas.events import StreamBegun
from aggregator.fleet.bands import Thresholds
from aggregator.store.database import Store
from aggregator.store.reads import DatabaseError
from aggregator.store.reads.changes import present, read_changes, read_fallen_silent

POLL_S = 0.5
TROUBLE_S = 5.0
RETRY_MS = 2000
SILENCE = timedelta(seconds=5)  # how often gateways are looked for that have fallen silent
CHECK_S = 5.0  # how often somebody who is told nothing has to be who may be told
HEARTBEAT_S = 15.0
HEARTBEAT = b": nothing to tell\n"
PORTION_ROWS = 500
WAITING_BYTES = 4 * 1024 * 1024
STREAMS = 1000
STREAMS_OF_ONE = 20
RESUMED_AT_ONCE = 2

NOWHERE = Position(0, datetime.fromtimestamp(0, UTC))

AskSites = Callable[[], Awaitable[Sites]]

log = structlog.get_logger(__name__)


class Listener:
    """What waits to be told to one stream, which is over if that is too much."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Portion, int]] = deque()
        self._bytes = 0
        self._woken = asyncio.Event()
        self.is_over = False

    def put(self, portion: Portion) -> None:
        """Have a portion wait."""
        size = sum(len(event.text) for event in portion.events)
        self._waiting.append((portion, size))
        self._bytes += size
        self._woken.set()
        if self._bytes > WAITING_BYTES:
            self.end()

    def end(self) -> None:
        """Let the stream end; what waits is told when it is resumed."""
        self.is_over = True
        self._waiting.clear()
        self._woken.set()

    async def next(self, timeout_s: float) -> Portion | None:
        """The next portion; None where none comes for so long, or ever more."""
        if not self._waiting:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._woken.wait()
            except TimeoutError:
                return None
        if not self._waiting:
            return None
        portion, size = self._waiting.popleft()
        self._bytes -= size
        if not self._waiting and not self.is_over:
            self._woken.clear()
        return portion


class Feed:
    """Everything that changes in a store, for any number of listeners. Of one event loop.

    Args:
        store: whose changes.
        now: the clock, aware UTC.
        thresholds: what bands go by.
    """

    def __init__(self, store: Store, now: Callable[[], datetime], thresholds: Thresholds) -> None:
        self._store, self._now, self._thresholds = store, now, thresholds
        self._listeners: set[Listener] = set()
        self._open: Counter[str] = Counter()
        self._resuming = asyncio.Semaphore(RESUMED_AT_ONCE)
        self._reader: asyncio.Task[None] | None = None
        self._epoch = ""
        self._come_to = NOWHERE
        self._is_closed = False

    def close(self) -> None:
        """End all streams; those that begin from now on end once they were told what they had missed."""
        self._is_closed = True
        for listener in self._listeners:
            listener.end()

    def streams(self) -> int:
        """How many are open."""
        return self._open.total()

    @contextmanager
    def place(self, who: str) -> Iterator[None]:
        """Take one of the places that there are for streams, for as long as it lasts.

        Raises:
            HTTPException: 429, there is none left.
        """
        of_one = self._open[who] >= STREAMS_OF_ONE
        if of_one or self.streams() >= STREAMS:
            whose = f"streams of {who}" if of_one else "streams"
            raise HTTPException(429, f"Too many {whose} are open; close one, or try later.", {"Retry-After": "10"})
        self._open[who] += 1
        try:
            yield
        finally:
            self._open[who] -= 1
            if not self._open[who]:
                del self._open[who]

    async def follow(
        self, wanted: Wanted, ask_sites: AskSites, last_event_id: str | None
    ) -> AsyncGenerator[bytes, None]:
        """Tell what changes, until the caller may no longer be told, is too slow, or the feed is closed.

        Args:
            wanted: which events.
            ask_sites: the sites that the caller may see by now.
            last_event_id: behind which to go on; without it from now on.
        """
        listener = Listener()
        try:
            come_to, now = await self._listen(listener)
            after = None if last_event_id is None else position_of(last_event_id, self._epoch)
            told = come_to.id_in(self._epoch)
            if after is None or after.number > now:
                kind = "start" if last_event_id is None else "reset"
                yield spell_id(told) + f"retry: {RETRY_MS}\n".encode() + spell(kind, StreamBegun(at=self._now()))
            else:
                async for portion in self._missed(after, come_to):
                    told = portion.id
                    yield portion.told(wanted, await ask_sites()) or _heartbeat(told)
            async for text in _tell(listener, wanted, ask_sites, told):
                yield text
        except (CredentialsError, HTTPException):
            return
        except DatabaseError as error:
            log.warning("stream_ended", error=str(error))
        finally:
            self._listeners.discard(listener)

    async def _listen(self, listener: Listener) -> tuple[Position, int]:
        """Have a listener told whatever comes behind the position that is returned, beside the present number."""
        if not self._epoch:
            self._epoch = (await asyncio.to_thread(self._store.epoch)).partition("-")[0]
        number = await asyncio.to_thread(self._present)
        if not self._listeners:
            self._come_to = Position(number, self._now())
        self._listeners.add(listener)
        if self._is_closed:
            listener.end()
        elif self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read(), context=Context())
        return self._come_to, number

    async def _read(self) -> None:
        try:
            while self._listeners and not self._is_closed:
                is_all = await self._read_on()
                await asyncio.sleep(POLL_S if is_all else 0)
        finally:
            for listener in self._listeners:
                listener.end()

    async def _read_on(self) -> bool:
        """Tell all listeners what comes next; says whether that is all there is."""
        try:
            portion, self._come_to, is_all = await asyncio.to_thread(self._portion, self._come_to, None)
        except DatabaseError as error:
            log.warning("changes_not_read", error=str(error))
            await asyncio.sleep(TROUBLE_S)
            return True
        for listener in self._listeners if portion.events else ():
            listener.put(portion)
        return is_all

    async def _missed(self, after: Position, until: Position) -> AsyncGenerator[Portion, None]:
        """Read again what a listener was not told; what has changed since ``until`` it is told later, once."""
        is_all = False
        while not is_all:
            async with self._resuming:
                portion, after, is_all = await asyncio.to_thread(self._portion, after, until)
            yield portion

    def _portion(self, after: Position, until: Position | None) -> tuple[Portion, Position, bool]:
        """What comes next behind a position, the position it ends at, and whether that is all there is."""
        with self._store.session() as session:
            end = present(session) if until is None else until.number
            changes = read_changes(session, after.number, max(end, after.number), PORTION_ROWS, self._thresholds)
            is_all, at, silent = changes.until >= end, after.at, []
            now = self._now() if until is None else until.at
            if is_all and (until is not None or now - at >= SILENCE):
                silent, at = read_fallen_silent(session, at, now), max(at, now)
        position = Position(changes.until, at)
        events = list(events_of(changes, silent, self._now()))
        return Portion(events, position.id_in(self._epoch)), position, is_all

    def _present(self) -> int:
        with self._store.session() as session:
            return present(session)


async def _tell(listener: Listener, wanted: Wanted, ask_sites: AskSites, told: str) -> AsyncGenerator[bytes, None]:
    """Tell what comes behind the id ``told``; whoever is told something has to be who may be told at that moment."""
    loop = asyncio.get_running_loop()
    told_at = loop.time()
    while not listener.is_over:
        portion = await listener.next(CHECK_S)
        sites = await ask_sites()
        if sites == frozenset():
            return
        text = b""
        if portion is not None:
            text, told = portion.told(wanted, sites), portion.id
        if not text and loop.time() - told_at >= HEARTBEAT_S:
            text = _heartbeat(told)
        if text:
            yield text
            told_at = loop.time()


def _heartbeat(told: str) -> bytes:
    """Say how far the listener is, who else would be resumed from before all that it was not told."""
    return HEARTBEAT + spell_id(told) + b"\n"
