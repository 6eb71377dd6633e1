"""Obeys what the centre asks of this gateway, if the centre's key has signed it: once, none retained."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import datetime

import structlog
from msgspec.structs import replace

from edge_agent.fetching import CHUNK_MAX_BYTES, chunks
from edge_agent.inventory import Inventory
from edge_agent.outbox import Outbox, OutboxError
from edge_agent.ports import Plant
from edge_agent.ring import Ring
from edge_agent.settings import AgentSettings
from edge_agent.signatures import verifier
from shared.clock import is_set
from shared.errors import MessageError, RowError
from shared.messages import (
    RANGES_MAX,
    VERSION,
    Command,
    FetchSamples,
    Predict,
    Reply,
    Resend,
    RestartSource,
    SampleChunk,
    SendAgain,
    SeqRange,
    SignedCommand,
    as_reason,
    decode,
)

REPLIES_KEPT = 1000
# Each is a durable transaction; more of them in one turn would hold sensing up.
PIECES_AT_ONCE = 2
INTERRUPTED = "the centre asked for all that its store lacks meanwhile; ask again"

log = structlog.get_logger(__name__)


class RefusedError(MessageError):
    """A command that nobody with the centre's key has sent; it is not even replied to."""


class Commands:
    """The commands of one gateway.

    Args:
        settings: names and key.
        outbox: what commands are about.
        inventory: hears of commands that ask for what is gone.
        plant: does what commands ask of the sensing side; None where there is none.
        now: the clock, aware UTC; it may be wrong.
        ring: raw samples, where there are any.
        room_bytes: how large a reply may be at the moment.
    """

    def __init__(
        self,
        settings: AgentSettings,
        outbox: Outbox,
        inventory: Inventory,
        plant: Plant | None,
        now: Callable[[], datetime],
        *,
        ring: Ring | None = None,
        room_bytes: Callable[[], int] = lambda: CHUNK_MAX_BYTES,
    ) -> None:
        self._ring = ring
        self._room_bytes = room_bytes
        self._fetching: tuple[str, Iterator[SampleChunk | None]] | None = None
        self._site = settings.site
        self._gateway = settings.gateway
        self._outbox = outbox
        self._inventory = inventory
        self._plant = plant
        self._now = now
        self._verify = None if settings.centre_key is None else verifier(settings.centre_key)
        self._replies: OrderedDict[str, list[Reply]] = OrderedDict()
        self._resending: Iterator[list[Reply]] | None = None
        self._sending_again: str | None = None

    @property
    def is_busy(self) -> bool:
        """Whether there is something to go on with at once."""
        return self._resending is not None

    def obey(self, payload: bytes, *, retained: bool) -> list[Reply]:
        """Begin to do what a message on the command topic asks; returns what can be answered at once.

        A command that comes again is answered as before and not obeyed again. Over a restart nothing is remembered:
        until a command expires, what it asks for is harmless twice. A ``Resend`` takes the place of whatever is still
        being sent again: it asks for all that lacks.

        Raises:
            RefusedError: the message is not a command of the centre's; nothing was done.
        """
        if retained:
            raise RefusedError("a retained command is an old one")
        command = self._signed(payload)
        command_id = command.command_id
        if command_id in self._replies:
            return self._replies[command_id]
        if (command.site, command.gateway) != (self._site, self._gateway):
            reason = f"it is meant for gateway {command.gateway} at {command.site}"
            log.warning("command_refused", command_id=command_id, reason=reason)
            return self._answered([_refusal(command_id, reason)])
        log.info("command", command_id=command_id, order=type(command.order).__name__)
        if isinstance(command.order, Resend):
            interrupted, self._sending_again = self._sending_again, None
            self._resending = self._resend(command_id, command.order)
            return [] if interrupted is None else self._answered([_refusal(interrupted, INTERRUPTED)])
        refusal = self._why_too_late(command) or self._do(command_id, command.order)
        if refusal is not None:
            log.warning("command_refused", command_id=command_id, reason=refusal)
            return self._answered([_refusal(command_id, refusal)])
        if isinstance(command.order, SendAgain):
            return []
        if isinstance(command.order, FetchSamples):  # its parts are too much to be kept for a repeat
            self._replies[command_id] = []
            return []
        return self._answered([Reply(command_id=command_id, outcome="done")])

    def _why_too_late(self, command: Command) -> str | None:
        now = self._now()
        if not is_set(now):
            return "the gateway's clock has not been set, so it cannot tell whether the command is still meant"
        if now >= command.expires_at:
            return (
                f"it was good until {command.expires_at:%H:%M:%S}, and by the gateway's clock it is {now:%H:%M:%S} UTC"
            )
        return None

    def _do(self, command_id: str, order: SendAgain | Predict | RestartSource | FetchSamples) -> str | None:
        """Do what is asked, or begin to; returns why that cannot be."""
        if isinstance(order, FetchSamples):
            return self._begin_to_fetch(command_id, order)
        if isinstance(order, SendAgain):
            if self._resending is not None:
                return "other records are just being sent again; ask again in a moment"
            self._sending_again = command_id
            self._resending = self._send_again(command_id, order)
            return None
        if self._plant is None:
            return "nothing is sensed here"
        if isinstance(order, RestartSource):
            self._plant.restart_source()
            return None
        try:
            self._plant.predict(order.engine, command_id)
        except (RowError, OutboxError) as error:
            return str(error)
        return None

    def go_on(self) -> list[Reply]:
        """Do a piece of what was asked for; returns the answer once all of it is done.

        Raises:
            OutboxError: the outbox cannot be read or written; the command is dropped, and the centre will ask anew.
        """
        resending, self._resending = self._resending, None
        if resending is None:
            return []
        for _ in range(PIECES_AT_ONCE):
            if replies := next(resending):
                self._sending_again = None
                return self._answered(replies)
        self._resending = resending
        return []

    def _begin_to_fetch(self, command_id: str, order: FetchSamples) -> str | None:
        if self._ring is None or self._ring.is_empty:
            return "no samples are kept here: the source gives whole cycle rows"
        if order.since > order.until:
            return "it asks for samples from a time after the one up to which"
        if self._fetching is not None:
            return "other samples are just being fetched; ask again in a moment"
        self._fetching = command_id, chunks(self._ring, order, self._room_bytes)
        return None

    def fetch_piece(self) -> list[Reply]:
        """Go on with samples that were asked for: some work, or a part of the answer. Call it at leisure."""
        if self._fetching is None:
            return []
        command_id, parts = self._fetching
        try:
            part = next(parts)
        except OutboxError as error:
            self._fetching = None
            return [_refusal(command_id, str(error))]
        if part is None:
            return []
        if part.is_last:
            self._fetching = None
        return [Reply(command_id=command_id, outcome="done", samples=part)]

    def _signed(self, payload: bytes) -> Command:
        if self._verify is None:
            raise RefusedError("no key of the centre is set (setting centre_key)")
        signed = decode(payload, SignedCommand)
        if signed.v != VERSION:
            raise RefusedError(f"version {signed.v} is unknown here; upgrade this agent")
        if not self._verify(signed.signature, signed.command):
            raise RefusedError("the signature is not of the centre's key (setting centre_key)")
        return decode(signed.command, Command)

    def _resend(self, command_id: str, order: Resend) -> Iterator[list[Reply]]:
        """Yields nothing after each piece of the work, and at its end the replies."""
        unavailable: list[SeqRange] = []
        for lacking in self._take_back(order):
            unavailable += lacking
            yield []
        if not self._is_ours(order):
            unavailable = order.ranges
        elif unavailable:  # the reply must arrive, which shows when the centre asks for these no more
            self._inventory.asked_for_what_is_gone(order.store_epoch)
        else:
            self._outbox.remember_store_epoch(order.store_epoch)
        yield _replies(command_id, order, unavailable)

    def _send_again(self, command_id: str, order: SendAgain) -> Iterator[list[Reply]]:
        """The same for records that a person wants, which says nothing of any store."""
        unavailable: list[SeqRange] = []
        for lacking in self._take_back(order):
            unavailable += lacking
            yield []
        yield _replies(command_id, order, unavailable if self._is_ours(order) else order.ranges)

    def _take_back(self, order: Resend | SendAgain) -> Iterator[list[SeqRange]]:
        """Take records back a piece at a time, as long as the stream is ours; yields what lacks of each.

        What has no record yet does not lack: it will come.
        """
        newest = self._outbox.next_seq - 1
        pieces = self._outbox.resend_slices((first, min(last, newest)) for first, last in order.ranges)
        while self._is_ours(order) and (lacking := next(pieces, None)) is not None:
            yield lacking

    def _is_ours(self, order: Resend | SendAgain) -> bool:
        return order.stream_id == self._outbox.stream_id

    def _answered(self, replies: list[Reply]) -> list[Reply]:
        self._replies[replies[0].command_id] = replies
        if len(self._replies) > REPLIES_KEPT:
            self._replies.popitem(last=False)
        return replies


def _refusal(command_id: str, reason: str) -> Reply:
    return Reply(command_id=command_id, outcome="refused", reason=as_reason(reason))


def _replies(command_id: str, order: Resend | SendAgain, unavailable: list[SeqRange]) -> list[Reply]:
    unavailable = sorted(unavailable)
    reply = Reply(command_id=command_id, outcome="done", stream_id=order.stream_id)
    parts = range(0, max(1, len(unavailable)), RANGES_MAX)
    return [replace(reply, unavailable=unavailable[first : first + RANGES_MAX]) for first in parts]
