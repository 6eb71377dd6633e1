"""Obeys what the centre asks of this gateway, if the centre's key has signed it: once, in time, none retained."""

import base64
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

import structlog

from edge_agent.clock import is_set
from edge_agent.outbox import Outbox
from edge_agent.settings import AgentSettings
from shared.errors import MessageError
from shared.messages import VERSION, Command, Reply, SeqRange, SignedCommand, decode

REPLIES_KEPT = 1000

log = structlog.get_logger(__name__)


class RefusedError(MessageError):
    """A command that nobody with the centre's key has sent; it is not even replied to."""


class Commands:
    """The commands of one gateway.

    Args:
        settings: names and key.
        outbox: what commands are about.
        now_s: the wall clock, Unix time in seconds.
    """

    def __init__(self, settings: AgentSettings, outbox: Outbox, now_s: Callable[[], float]) -> None:
        self._site = settings.site
        self._gateway = settings.gateway
        self._outbox = outbox
        self._now_s = now_s
        self._verify = None if settings.centre_key is None else _verifier(settings.centre_key)
        self._replies: OrderedDict[str, Reply] = OrderedDict()

    def obey(self, payload: bytes, *, retained: bool) -> Reply:
        """Do what a message on the command topic asks.

        A command that comes again is answered as before and not obeyed again. Over a restart nothing is remembered:
        sending records again twice is harmless.

        Raises:
            RefusedError: the message is not a command of the centre's; nothing was done.
            OutboxError: the outbox cannot be read or written at the moment; nothing was done.
        """
        if retained:
            raise RefusedError("a retained command is an old one")
        command = self._signed(payload)
        reply = self._replies.get(command.command_id)
        if reply is None:
            reply = self._replies[command.command_id] = self._reply(command)
            if len(self._replies) > REPLIES_KEPT:
                self._replies.popitem(last=False)
            log.info("command", command_id=command.command_id, outcome=reply.outcome, reason=reply.reason)
        return reply

    def _signed(self, payload: bytes) -> Command:
        if self._verify is None:
            raise RefusedError("no key of the centre is set (setting centre_key)")
        signed = decode(payload, SignedCommand)
        if signed.v != VERSION:
            raise RefusedError(f"version {signed.v} is unknown here; upgrade this agent")
        if not self._verify(signed.signature, signed.command):
            raise RefusedError("the signature is not of the centre's key (setting centre_key)")
        return decode(signed.command, Command)

    def _reply(self, command: Command) -> Reply:
        if (command.site, command.gateway) != (self._site, self._gateway):
            reason = f"it is meant for gateway {command.gateway} at {command.site}"
            return Reply(command_id=command.command_id, outcome="refused", reason=reason)
        if self._is_over(command.expires_at):
            reason = f"it expired at {command.expires_at.isoformat()}"
            return Reply(command_id=command.command_id, outcome="refused", reason=reason)
        return self._resend(command)

    def _is_over(self, expires_at: datetime) -> bool:
        """A clock that was never set cannot tell and refuses nothing: such a gateway must be made whole, too."""
        now = datetime.fromtimestamp(self._now_s(), UTC)
        return is_set(now) and now >= expires_at

    def _resend(self, command: Command) -> Reply:
        order = command.order
        is_ours = order.stream_id == self._outbox.stream_id
        unavailable = list(order.ranges)
        if is_ours:
            spans = [(span, self._outbox.held_ranges(*span)) for span in order.ranges]
            unavailable = [hole for span, held in spans for hole in without([span], held)]
            self._outbox.resend(order.ranges)
        return Reply(
            command_id=command.command_id,
            outcome="done",
            stream_id=order.stream_id,
            unavailable=unavailable,
        )


def without(ranges: Iterable[SeqRange], held: Sequence[SeqRange]) -> list[SeqRange]:
    """The parts of some ranges that lie in no held one; the held ones are sorted and disjoint.

    >>> without([(1, 9), (20, 21)], [(3, 4), (8, 30)])
    [(1, 2), (5, 7)]
    """
    holes: list[SeqRange] = []
    for first, last in ranges:
        start = first
        for low, high in held[bisect_left(held, first, key=lambda span: span[1]) :]:
            if low > last:
                break
            if start < low:
                holes.append((start, low - 1))
            start = high + 1
        if start <= last:
            holes.append((start, last))
    return holes


def _verifier(centre_key: str) -> Callable[[bytes, bytes], bool]:
    """Checks signatures with a key; the library is loaded only by gateways that have one."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(centre_key))

    def verify(signature: bytes, signed: bytes) -> bool:
        try:
            key.verify(signature, signed)
        except InvalidSignature:
            return False
        return True

    return verify
