"""Tells another store than the one we delivered to what the outbox holds, until it has asked for what it lacks."""

import time
from collections.abc import Callable, Iterator

import structlog

from edge_agent.outbox import Outbox, OutboxError
from edge_agent.outbox.history import join
from shared.messages import RANGES_MAX, SeqRange
from shared.ranges import coarse

# A million records listed at once would stop the loop for seconds.
SLICES_AT_ONCE = 4
REPEAT_S = 60.0
REPEAT_MAX_S = 3600.0

log = structlog.get_logger(__name__)


class Inventory:
    """What the outbox holds, for a store that may lack some of it.

    The outbox remembers a store once a signed command of it was obeyed that asks for nothing which is gone
    (``Commands``). Until then it is told anew, for a birth, a command or a reply may be lost anywhere on its way. A
    store that goes on asking for what is gone is told less and less often.

    Args:
        outbox: whose records are listed; it may go on taking records and losing them meanwhile.
        can_be_asked: whether commands are obeyed; else a store is told once per connection, only for it to know what
            nobody holds.
        monotonic_s: a clock that only goes forward, in seconds.
    """

    def __init__(
        self, outbox: Outbox, *, can_be_asked: bool, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._outbox = outbox
        self._can_be_asked = can_be_asked
        self._monotonic_s = monotonic_s
        self._slices: Iterator[list[SeqRange]] | None = None
        self._held: list[SeqRange] = []
        self._delivered_to = ""
        self._told_to: str | None = None
        self._due_s = 0.0
        self._paused_for: tuple[str, str] | None = None
        self._pause_s, self._paused_until_s = REPEAT_S, 0.0

    def start_over(self) -> None:
        """Nobody was told anything yet on this connection or of this stream."""
        self._slices = self._told_to = None
        self._due_s = 0.0

    def heard_of_centre(self) -> None:
        """An aggregator says that it accepts: what was told before may not have reached it."""
        self._due_s = 0.0

    def asked_for_what_is_gone(self, epoch: str) -> None:
        """A command of this store about the present stream was obeyed, as far as its records are here.

        If its reply was lost, the store must be told again. But its ranges may be so coarse that it asks for the same
        for ever, which costs all that it covers each time.
        """
        now_s, asked = self._monotonic_s(), (epoch, self._outbox.stream_id)
        if asked != self._paused_for:
            self._pause_s = REPEAT_S
        elif now_s < self._paused_until_s:  # the answer to a birth from before the pause
            return
        else:
            self._pause_s = min(2 * self._pause_s, REPEAT_MAX_S)
        self._paused_for, self._paused_until_s = asked, now_s + self._pause_s

    def go_on(self, epoch: str | None) -> tuple[str, list[SeqRange]] | None:
        """List some more for the store of this epoch, if it must be told.

        Returns:
            Once the list is whole: the epoch of the store delivered to (empty: none is known), and the sorted ranges of
            all seqs held up to the newest; where they are very many, joined with what lies between them.

        Raises:
            OutboxError: the outbox cannot be read at the moment; the list is begun again later.
        """
        try:
            if self._slices is None and self._is_to_be_told(epoch):
                self._slices, self._held = self._outbox.held_slices(), []
            return None if self._slices is None else self._list_more(self._slices)
        except OutboxError:
            self._slices = self._told_to = None
            raise

    def _is_to_be_told(self, epoch: str | None) -> bool:
        now_s = self._monotonic_s()
        if epoch is None or now_s < self._due_s or self._is_paused(epoch, now_s):
            return False
        self._due_s = now_s + REPEAT_S
        delivered_to = self._outbox.store_epoch
        if delivered_to is None and not (self._can_be_asked and self._outbox.status().history_bytes):
            delivered_to = epoch  # the first store there is, which can lack nothing
            self._outbox.remember_store_epoch(epoch)
        if delivered_to == epoch or (self._told_to == epoch and not self._can_be_asked):
            return False
        if self._told_to != epoch:
            log.warning("another_store", store_epoch=epoch, delivered_to=delivered_to)
        self._told_to, self._delivered_to = epoch, delivered_to or ""
        return True

    def _is_paused(self, epoch: str, now_s: float) -> bool:
        return now_s < self._paused_until_s and self._paused_for == (epoch, self._outbox.stream_id)

    def _list_more(self, slices: Iterator[list[SeqRange]]) -> tuple[str, list[SeqRange]] | None:
        for _ in range(SLICES_AT_ONCE):
            held = next(slices, None)
            if held is None:
                self._slices = None
                return self._delivered_to, coarse(self._held, RANGES_MAX)
            join(self._held, held)
            if len(self._held) > 2 * RANGES_MAX:
                self._held = coarse(self._held, RANGES_MAX)
        return None
