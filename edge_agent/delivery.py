"""Second loop of the agent: outbox → broker; the newest records first, the backlog paced behind them.

A record leaves the outbox only by the centre's answer. Whatever is unanswered when the connection is lost, or
too late, is sent again.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

import msgspec
import structlog

from edge_agent.budget import Budget
from edge_agent.centre import Centre, CentreClock, Silence
from edge_agent.commands import Commands
from edge_agent.desired import Desired
from edge_agent.inventory import Inventory
from edge_agent.mqtt import (
    Connected,
    Disconnected,
    LinkEvent,
    MqttLink,
    Outgoing,
    Publication,
    Received,
    max_payload_bytes,
)
from edge_agent.outbox import LAST_SEQ, Outbox, OutboxError
from edge_agent.ports import Plant
from edge_agent.ring import Ring
from edge_agent.seldom import Seldom
from edge_agent.sender import Sender
from edge_agent.settings import AgentSettings
from edge_agent.status import LinkView
from shared.errors import MessageError
from shared.messages import (
    RANGES_MAX,
    VERSION,
    Ack,
    CentreStatus,
    Reply,
    SeqRange,
    Status,
    StatusEvent,
    Traffic,
    decode,
    encode,
)
from shared.ranges import coarse
from shared.topics import EVERY_CENTRE_STATUS, GatewayTopic, Kind

TICK_S = 0.5
FETCH_INTERVAL_S = 0.2
FAREWELL_TIMEOUT_S = 2.0
# Each is a transaction; more of them in one turn would hold sensing up.
RENUMBERED_AT_ONCE = 2
RANGE_MAX_BYTES = len(f"[{LAST_SEQ},{LAST_SEQ}],")

log = structlog.get_logger(__name__)


def subscriptions(settings: AgentSettings) -> list[str]:
    """The topics that an agent listens to: what the centre says to it and of itself, and its own status."""
    kinds: tuple[Kind, ...] = ("ack", "status", "command", "engine-desired")
    return [*(str(GatewayTopic(settings.site, settings.gateway, kind)) for kind in kinds), EVERY_CENTRE_STATUS]


class Delivery:
    """Sends what waits in the outbox and settles it by the centre's answers.

    Args:
        settings: names, key, window and timeouts.
        outbox: what to send.
        link: the broker connection, subscribed to ``subscriptions``.
        status: makes this gateway's status message for an event.
        budget: what may go over the link in a day.
        progress: called at least once a second while the loop is alive.
        now_s: the wall clock, Unix time in seconds; it may jump.
        monotonic_s: a clock that only goes forward, in seconds.
        desired: hears what the centre says of the engines here; one of its own where it is left out.
        plant: does what commands ask of the sensing side.
        ring: raw samples, which commands ask for.
    """

    def __init__(
        self,
        settings: AgentSettings,
        outbox: Outbox,
        link: MqttLink,
        *,
        status: Callable[[StatusEvent], Status],
        budget: Budget,
        progress: Callable[[], None],
        now_s: Callable[[], float],
        monotonic_s: Callable[[], float] = time.monotonic,
        desired: Desired | None = None,
        plant: Plant | None = None,
        ring: Ring | None = None,
    ) -> None:
        self._site, self._gateway = settings.site, settings.gateway
        self._heartbeat_interval_s = settings.delivery.heartbeat_interval_s
        self._outbox = outbox
        self._link = link
        self._budget, self._waits = budget, budget.waits
        self._status = status
        self._progress = progress
        self._now_s = now_s
        self._monotonic_s = monotonic_s
        self._sender = Sender(
            outbox,
            settings.delivery,
            live=lambda payload: self._publish_records("records", payload),
            backfill=lambda payload: self._publish_records("backfill", payload),
            now_s=now_s,
            monotonic_s=monotonic_s,
            budget=budget,
        )
        self._centre = Centre()
        self._centre_clock = CentreClock()
        self._silence = Silence(settings.delivery.silence_timeout_s)
        can_be_asked = settings.centre_key is not None
        self._inventory = Inventory(outbox, can_be_asked=can_be_asked, monotonic_s=monotonic_s)
        self._commands = Commands(
            settings,
            outbox,
            self._inventory,
            plant,
            lambda: datetime.fromtimestamp(now_s(), UTC),
            ring=ring,
            room_bytes=lambda: self._room_bytes("reply"),
        )
        self._desired = desired or Desired(settings, outbox)
        self._born_as: str | None = None
        self._has_more = False
        self._unread = Seldom(monotonic_s)
        self._heartbeat_due_s = 0.0
        self._fetch_due_s = 0.0
        self._link_state: Connected | Disconnected = Disconnected("not connected yet")

    def view(self) -> LinkView:
        """The way to the centre as of now."""
        return LinkView(
            summary=self._summary(),
            is_up=isinstance(self._link_state, Connected),
            parked=len(self._sender.parked),
            traffic=Traffic(sent_bytes=self._link.sent_bytes, received_bytes=self._link.received_bytes),
            budget=self._budget.status,
            clock_skew_s=self._centre_clock.skew_s(now_s=self._now_s(), monotonic_s=self._monotonic_s()),
        )

    def _summary(self) -> str:
        if isinstance(self._link_state, Disconnected):
            return f"down: {self._link_state.reason}"
        state = "up" if self._centre.accepts else "up, but the centre accepts no records now"
        parked = len(self._sender.parked)
        return f"{state}; {parked} records get no answer or are too large, and are tried seldom" if parked else state

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            self._progress()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0 if self._has_more else TICK_S):
                    self.take(await self._link.events.get())
            while not self._link.events.empty():
                self.take(self._link.events.get_nowait())
            self.keep_time()
            self.send_waiting()

    async def say_goodbye(self) -> None:
        """Tell the centre that this stop is on purpose."""
        if isinstance(self._link_state, Connected):
            # No goodbye without an outbox to tell of, nor over a connection that is lost at this very moment.
            with contextlib.suppress(OutboxError, RuntimeError):
                farewell = self._publish_status("stopped")
                if farewell is not None:
                    await asyncio.to_thread(farewell.wait_for_publish, FAREWELL_TIMEOUT_S)

    def send_waiting(self) -> None:
        """Send what waits, as far as the window of unanswered envelopes allows."""
        if isinstance(self._link_state, Connected) and self._centre.accepts:
            try:
                if self._born_as == self._outbox.stream_id:
                    self._sender.send()
            except OutboxError as error:
                self._not_read(error)
            if self._sender.is_waiting:
                self._silence.asked(now_s=self._monotonic_s())

    def take(self, event: LinkEvent) -> None:
        """Take note of what happened to the link."""
        match event:
            case Connected():
                log.info("link_up")
                self._link_state = event
                self._sender.fit(max_payload_bytes(self._topic("backfill"), event.max_packet_bytes))
                self._born_as = None
            case Disconnected(reason=reason):
                if not isinstance(self._link_state, Disconnected) or self._link_state.reason != reason:
                    log.warning("link_down", reason=reason)
                self._link_state = event
                if self._centre.accepts:
                    self._sender.connection_lost()
            case Received():
                try:
                    self._on_message(event)
                except (MessageError, OutboxError) as error:
                    log.warning("message_not_used", topic=event.topic, reason=str(error))

    def keep_time(self) -> None:
        """Do what is due: renumber, say who we are, send again what is overdue, break a silence, send a heartbeat."""
        now_s = self._monotonic_s()
        self._has_more = False
        self._mind_budget()
        self._renumber()
        if not isinstance(self._link_state, Connected):
            return
        try:
            self._say_what_is_due(now_s)
        except OutboxError as error:
            self._not_read(error)
        if self._centre.accepts:
            self._sender.look_back()
            if self._silence.is_too_long(now_s=now_s):
                reason = "the centre accepts records and answers none; connecting anew"
                log.warning("no_answers", reason=reason)
                self._link.reconnect(reason)

    def _mind_budget(self) -> None:
        """Say at once when something else waits, as heartbeats come at another pace from then on."""
        self._budget.keep()
        before, self._waits = self._waits, self._budget.waits
        if before != self._waits:
            self._heartbeat_due_s = 0.0
            if self._waits == "nothing":
                self._start_over()

    def _renumber(self) -> None:
        """Do some of a renumbering under way; nothing is sent before its end, for neither numbering is whole."""
        try:
            for _ in range(RENUMBERED_AT_ONCE):
                if self._outbox.is_renumbering:
                    self._outbox.renumber_piece()
            self._has_more = self._outbox.is_renumbering
        except OutboxError as error:
            self._not_read(error)

    def _say_what_is_due(self, now_s: float) -> None:
        if not self._outbox.is_renumbering:
            self._serve_stream()
        if now_s >= self._heartbeat_due_s:
            self._publish_status("heartbeat")
        if now_s >= self._fetch_due_s:
            self._fetch_due_s = now_s + FETCH_INTERVAL_S
            self._reply(self._commands.fetch_piece())

    def _serve_stream(self) -> None:
        stream_id = self._outbox.stream_id
        if self._born_as != stream_id:
            self._inventory.start_over()
            self._publish_status("birth")
            self._start_over()
            self._born_as = stream_id
        if self._commands.is_busy:
            self._reply(self._commands.go_on())
            self._has_more = self._commands.is_busy
            self._sender.rescan()
        elif self._centre.accepts:
            told = self._inventory.go_on(self._centre.store_epoch)
            if told is not None and self._outbox.stream_id == stream_id:  # and not of a file that was damaged meanwhile
                self._publish_status("birth", *told)

    def _on_message(self, message: Received) -> None:
        if message.topic == self._topic("ack"):
            self._on_ack(decode(message.payload, Ack))
        elif message.topic == self._topic("status"):
            self._on_own_status(decode(message.payload, Status))
        elif message.topic == self._topic("command"):
            self._on_command(message)
        elif message.topic == self._topic("engine-desired"):
            self._desired.take(message.payload)
        else:
            self._on_centre_status(decode(message.payload, CentreStatus), is_fresh=not message.retained)

    def _on_ack(self, ack: Ack) -> None:
        if ack.v != VERSION or ack.stream_id != self._outbox.stream_id:
            return
        self._silence.heard()
        if self._outbox.is_renumbering:
            return
        if ack.conflict is not None:
            self._born_as = None
            stream_id = self._outbox.begin_new_stream()
            self._start_over()  # no answer can come for what was on its way
            log.error("stream_conflict", reason=ack.conflict, new_stream_id=stream_id)
            return
        self._outbox.settle(ack, at=self._now_s())
        self._sender.answered(ack)
        for entry in ack.quarantined:
            log.error("record_quarantined", seq=entry.seq, reason=entry.reason)
        for deferred in ack.deferred:
            log.warning("records_deferred", range=deferred.range, reason=deferred.reason)

    def _on_own_status(self, status: Status) -> None:
        """A last will of a lost connection may arrive after our birth; say again that we live."""
        if not status.online:
            self._publish_status("birth")

    def _on_command(self, message: Received) -> None:
        self._reply(self._commands.obey(message.payload, retained=message.retained))

    def _reply(self, replies: Iterable[Reply]) -> None:
        """Answer a command, in as many parts as the broker's packets take."""
        for reply in replies:
            ranges = reply.unavailable
            room = self._room_ranges("reply", msgspec.structs.replace(reply, unavailable=[]))
            for first in range(0, max(1, len(ranges)), room):
                part = msgspec.structs.replace(reply, unavailable=ranges[first : first + room])
                self._publish(Outgoing(self._topic("reply"), encode(part)))

    def _on_centre_status(self, status: CentreStatus, *, is_fresh: bool) -> None:
        if is_fresh and status.accepting:  # one that does not accept may be a last will, which is as old
            self._centre_clock.note(sent_at_s=status.sent_at.timestamp(), monotonic_s=self._monotonic_s())
        accepted_before = self._centre.accepts
        self._centre.note(status)
        if self._centre.accepts != accepted_before:
            log.info("centre_status", replica=status.replica, accepting=status.accepting)
        if status.accepting:
            self._inventory.heard_of_centre()
            if not accepted_before:
                self._start_over()

    def _start_over(self) -> None:
        self._silence.restart()
        self._sender.start_over()

    def _publish_records(self, kind: Kind, payload: bytes) -> None:
        self._link.publish(Outgoing(self._topic(kind), payload))

    def _publish(self, message: Outgoing) -> Publication | None:
        """Publish what cannot be split, unless the broker would throw us out for its size."""
        state = self._link_state
        if isinstance(state, Connected) and not message.is_within(state.max_packet_bytes):
            reason = f"{len(message.payload)} bytes; the broker takes packets of {state.max_packet_bytes} at most"
            log.error("message_too_large", topic=message.topic, reason=reason)
            return None
        return self._link.publish(message)

    def _publish_status(
        self, event: StatusEvent, store_epoch: str | None = None, held: Sequence[SeqRange] = ()
    ) -> Publication | None:
        # Whatever comes of this: an outbox that cannot be read is not asked again with every tick.
        self._heartbeat_due_s = self._monotonic_s() + self._heartbeat_interval_s
        status = msgspec.structs.replace(self.view().told_in(self._status(event)), store_epoch=store_epoch)
        self._heartbeat_due_s = self._monotonic_s() + status.heartbeat_interval_s
        status = msgspec.structs.replace(status, held=coarse(held, self._room_ranges("status", status)))
        return self._publish(Outgoing(self._topic("status"), encode(status), retain=True))

    def _room_ranges(self, kind: Kind, message: Reply | Status) -> int:
        """How many ranges fit into a message of this kind besides what is in it, at least one."""
        if not isinstance(self._link_state, Connected):
            return RANGES_MAX
        return max(1, (self._room_bytes(kind) - len(encode(message))) // RANGE_MAX_BYTES)

    def _room_bytes(self, kind: Kind) -> int:
        """The largest payload that the broker takes; small while there is no connection to tell."""
        state = self._link_state
        return max_payload_bytes(self._topic(kind), state.max_packet_bytes) if isinstance(state, Connected) else 0

    def _not_read(self, error: OutboxError) -> None:
        if self._unread.due(str(error)):
            log.warning("outbox_not_read", reason=str(error))

    def _topic(self, kind: Kind) -> str:
        return str(GatewayTopic(self._site, self._gateway, kind))
