"""What ingest hands to the store in one batch, and what the store answers once it has committed."""

from dataclasses import dataclass, field
from datetime import datetime

from msgspec import Struct

from shared.messages import Record, Reply, Resend, Status
from shared.topics import GatewayTopic


class Entry(Struct, frozen=True, gc=False):
    """One ``[seq, record]`` pair as it came; ``record`` is null where ``reason`` says why it is none."""

    seq: int
    body: bytes
    digest: bytes
    topic: GatewayTopic
    received_at: datetime
    record: Record | None = None
    reason: str | None = None


class EnvelopeArrival(Struct, frozen=True, gc=False):
    """An envelope whose stream id could be read."""

    topic: GatewayTopic
    stream_id: str
    entries: list[Entry]
    received_at: datetime


@dataclass(frozen=True, slots=True)
class StatusArrival:
    """A status message of a gateway."""

    topic: GatewayTopic
    status: Status
    received_at: datetime


@dataclass(frozen=True, slots=True)
class ReplyArrival:
    """What a gateway says it did about a command."""

    topic: GatewayTopic
    reply: Reply
    received_at: datetime


@dataclass(frozen=True, slots=True)
class DeferredArrival:
    """An envelope that this program cannot take yet and asks for again later."""

    topic: GatewayTopic
    stream_id: str
    seqs: list[int]
    reason: str


@dataclass(frozen=True, slots=True)
class MalformedArrival:
    """A message that cannot be answered because it does not say, or not credibly, whose it is."""

    topic: str
    body: bytes
    reason: str
    received_at: datetime


Arrival = EnvelopeArrival | StatusArrival | ReplyArrival | DeferredArrival | MalformedArrival


@dataclass(slots=True)
class Answer:
    """What became of the records of one stream; ``conflict`` refuses the stream as a whole."""

    committed: set[int] = field(default_factory=set)
    quarantined: dict[int, str] = field(default_factory=dict)
    deferred: dict[int, str] = field(default_factory=dict)
    conflict: str | None = None

    def refuse(self, reason: str) -> None:
        """Turn the answer into a conflict, which answers for every record."""
        self.conflict = reason
        self.committed.clear()
        self.quarantined.clear()
        self.deferred.clear()

    def add(self, later: "Answer") -> None:
        """Take over what a later answer to the same stream says."""
        self.committed |= later.committed
        self.quarantined |= later.quarantined
        self.deferred |= later.deferred
        conflict = self.conflict or later.conflict
        if conflict is not None:
            self.refuse(conflict)


@dataclass(slots=True)
class Outcome:
    """The answers of one committed batch, by the gateway's topic and stream id, and what to count.

    ``orders`` asks gateways, by their command topic, for records again that this store has lost; ``strangers`` are the
    topics of statuses that came from gateways nobody registered; ``unusable_messages`` were dropped unanswered.
    """

    answers: dict[tuple[GatewayTopic, str], Answer] = field(default_factory=dict)
    orders: list[tuple[GatewayTopic, Resend]] = field(default_factory=list)
    committed_records: int = 0
    duplicate_records: int = 0
    quarantined_records: int = 0
    unusable_messages: int = 0
    first_reason: str | None = None
    strangers: set[GatewayTopic] = field(default_factory=set)

    def count_quarantined(self, records: int, reason: str) -> None:
        """Count what was quarantined; the first reason of a batch stands for all when it is told of."""
        self.quarantined_records += records
        self.first_reason = self.first_reason or reason

    def answer(self, topic: GatewayTopic, stream_id: str) -> Answer:
        """The answer to one stream, begun if there is none; on the gateway's ack topic."""
        return self.answers.setdefault((GatewayTopic(topic.site, topic.gateway, "ack"), stream_id), Answer())

    def add(self, other: "Outcome") -> None:
        """Take over what another batch, committed later, came to."""
        for (topic, stream_id), theirs in other.answers.items():
            self.answer(topic, stream_id).add(theirs)
        self.orders += other.orders
        self.committed_records += other.committed_records
        self.duplicate_records += other.duplicate_records
        self.quarantined_records += other.quarantined_records
        self.unusable_messages += other.unusable_messages
        self.first_reason = self.first_reason or other.first_reason
        self.strangers |= other.strangers
