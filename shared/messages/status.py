"""How a gateway says that it is doing."""

from typing import Annotated, Literal

from msgspec import Meta

from shared.messages.records import ModelRef
from shared.messages.wire import VERSION, Name, Reason, Seq, SeqRanges, Serial, StreamId, Utc, Wire

StatusEvent = Literal["birth", "heartbeat", "stopped", "will"]
Waits = Literal["nothing", "telemetry", "backlog", "records"]


class Session(Wire, frozen=True, kw_only=True):
    """One start of one agent: a counter kept in the outbox and a nonce drawn at start."""

    counter: Annotated[int, Meta(ge=1)]
    boot_nonce: Name


class SourceStatus(Wire, frozen=True, kw_only=True):
    """How the sensor source is doing; ``last_row_at`` is when the last row was accepted, by the gateway's clock.

    ``samples`` were taken since the agent was started; ``dropped_samples`` of those ever kept at the gateway were given
    up because there was no more room, the oldest first.
    """

    kind: Name
    state: Literal["waiting", "reading", "ended", "failed"]
    rows: int = 0
    refused_rows: int = 0
    samples: int = 0
    dropped_samples: int = 0
    last_row_at: Utc | None = None
    last_error: Reason | None = None


class OutboxStatus(Wire, frozen=True, kw_only=True):
    """How full the outbox is, and for how long it will do.

    ``unacked`` records are not yet committed at the centre, ``dead_letters`` were quarantined by it, ``dropped``
    ones were given up by policy. ``used_bytes`` of ``capacity_bytes`` cannot be given up without a loss; committed
    records (``history_bytes``) can. ``accepted_per_s`` counts records over the last ten minutes; at that rate the
    outbox does for ``hours_left`` more without the centre (null at a rate of zero). ``damage`` tells of the last
    outbox file that was damaged and set aside. ``parked`` records get no answer even alone and are tried seldom.
    """

    unacked: int = 0
    dead_letters: int = 0
    dropped: int = 0
    size_bytes: int = 0
    capacity_bytes: int = 0
    used_bytes: int = 0
    history_bytes: int = 0
    accepted_per_s: float = 0.0
    hours_left: float | None = None
    damage: Reason | None = None
    parked: int = 0


class Traffic(Wire, frozen=True, kw_only=True):
    """What a gateway has exchanged with the broker since its agent was started: topics and payloads, in bytes."""

    sent_bytes: int
    received_bytes: int


class BudgetStatus(Wire, frozen=True, kw_only=True):
    """What a gateway may exchange with the broker in a day (UTC), and has on this one: topics and payloads, in bytes.

    ``waits`` says what is held back until the next day, each with what stands before it: telemetry, the backlog, or
    all records.
    """

    day_bytes: int
    spent_bytes: int
    waits: Waits


class Status(Wire, frozen=True, kw_only=True):
    """Birth, heartbeat, farewell and last will of an agent; retained.

    To another store than the one it has delivered to (``store_epoch``, empty if it knows none), an agent lists in a
    birth under ``held`` what it still has of its stream, acknowledged or not; that store answers by a ``Resend``.
    """

    v: int = VERSION
    event: StatusEvent
    session: Session
    stream_id: StreamId
    next_seq: Seq
    sent_at: Utc
    heartbeat_interval_s: Annotated[float, Meta(gt=0)]
    agent_version: Name
    engines: list[Serial]
    model: ModelRef | None = None
    source: SourceStatus
    outbox: OutboxStatus
    traffic: Traffic | None = None
    budget: BudgetStatus | None = None
    store_epoch: Name | None = None
    held: SeqRanges = []

    @property
    def online(self) -> bool:
        """Whether the agent was running when it said this."""
        return self.event in ("birth", "heartbeat")
