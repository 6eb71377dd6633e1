"""Obeys what the centre asks of this gateway, if the centre's key has signed it: once, none retained."""

from collections import OrderedDict
from collections.abc import Iterator

import structlog
from msgspec.structs import replace

from edge_agent.inventory import Inventory
from edge_agent.outbox import Outbox
from edge_agent.settings import AgentSettings
from edge_agent.signatures import verifier
from shared.errors import MessageError
from shared.messages import RANGES_MAX, VERSION, Command, Reply, Resend, SeqRange, SignedCommand, decode

REPLIES_KEPT = 1000
# Each is a durable transaction; more of them in one turn would hold sensing up.
PIECES_AT_ONCE = 2

log = structlog.get_logger(__name__)


class RefusedError(MessageError):
    """A command that nobody with the centre's key has sent; it is not even replied to."""


class Commands:
    """The commands of one gateway.

    Args:
        settings: names and key.
        outbox: what commands are about.
        inventory: hears of commands that ask for what is gone.
    """

    def __init__(self, settings: AgentSettings, outbox: Outbox, inventory: Inventory) -> None:
        self._site = settings.site
        self._gateway = settings.gateway
        self._outbox = outbox
        self._inventory = inventory
        self._verify = None if settings.centre_key is None else verifier(settings.centre_key)
        self._replies: OrderedDict[str, list[Reply]] = OrderedDict()
        self._resending: Iterator[list[Reply]] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether there is something to go on with."""
        return self._resending is not None

    def obey(self, payload: bytes, *, retained: bool) -> list[Reply]:
        """Begin to do what a message on the command topic asks; returns what can be answered at once.

        A command that comes again is answered as before and not obeyed again. Over a restart nothing is remembered:
        sending records again twice is harmless. A command takes the place of one that is still being obeyed: it
        asks for all that lacks.

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
            return self._answered([Reply(command_id=command_id, outcome="refused", reason=reason)])
        log.info("command", command_id=command_id, stream_id=command.order.stream_id, ranges=command.order.ranges[:10])
        self._resending = self._resend(command_id, command.order)
        return []

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
                return self._answered(replies)
        self._resending = resending
        return []

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
        pieces = self._outbox.resend_slices(order.ranges)
        while self._is_ours(order) and (lacking := next(pieces, None)) is not None:
            unavailable += lacking
            yield []
        if not self._is_ours(order):
            unavailable = order.ranges
        elif unavailable:  # the reply must arrive, which shows when the centre asks for these no more
            self._inventory.asked_for_what_is_gone(order.store_epoch)
        else:
            self._outbox.remember_store_epoch(order.store_epoch)
        unavailable = sorted(unavailable)
        reply = Reply(command_id=command_id, outcome="done", stream_id=order.stream_id)
        parts = range(0, max(1, len(unavailable)), RANGES_MAX)
        yield [replace(reply, unavailable=unavailable[first : first + RANGES_MAX]) for first in parts]

    def _is_ours(self, order: Resend) -> bool:
        return order.stream_id == self._outbox.stream_id

    def _answered(self, replies: list[Reply]) -> list[Reply]:
        self._replies[replies[0].command_id] = replies
        if len(self._replies) > REPLIES_KEPT:
            self._replies.popitem(last=False)
        return replies
