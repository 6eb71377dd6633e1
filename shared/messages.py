"""The records and envelopes on the wire: frozen, versioned, strict UTF-8 JSON.

An envelope carries ``[seq, record]`` pairs of one stream. A record's bytes are frozen when the gateway accepts
it, without seq or stream, so that renumbering keeps them; envelopes embed those bytes verbatim and the centre
takes its digest over them.
"""

import hashlib
import re
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from shared.errors import MessageError

VERSION = 1
ENVELOPE_MAX_RECORDS = 500
ENVELOPE_MAX_BYTES = 256 * 1024
CYCLE_MAX = 2**31 - 1
NAME_MAX_CHARS = 200
REASON_MAX_CHARS = 1000
RANGES_MAX = 1000
SAMPLES_MAX = 20_000
RESEND_RANGES_MAX = 50  # with which a signed command fits a packet of 4 KiB, the smallest that gateways get by with

Utc = Annotated[datetime, Meta(tz=True)]
SERIAL_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$(?!\n)"
SHA256_PATTERN = r"^[0-9a-f]{64}$(?!\n)"
Serial = Annotated[str, Meta(pattern=SERIAL_PATTERN)]
# In records the same few come again and again: `_check` remembers them. msgspec would match each anew, which takes
# a quarter of decoding.
RecordSerial = Annotated[str, Meta(extra_json_schema={"pattern": SERIAL_PATTERN})]
Sha256 = Annotated[str, Meta(extra_json_schema={"pattern": SHA256_PATTERN})]
Cycle = Annotated[int, Meta(ge=1, le=CYCLE_MAX)]
Seq = Annotated[int, Meta(ge=1, le=2**63 - 1)]
SeqRange = tuple[Seq, Seq]
SeqRanges = Annotated[list[SeqRange], Meta(max_length=RANGES_MAX)]
NumberedRecords = Annotated[list[tuple[Seq, Raw]], Meta(min_length=1)]
StreamId = Annotated[str, Meta(min_length=1, max_length=64)]
CommandId = Annotated[str, Meta(min_length=1, max_length=64)]
Name = Annotated[str, Meta(max_length=NAME_MAX_CHARS)]
Reason = Annotated[str, Meta(max_length=REASON_MAX_CHARS)]
Flags = dict[str, list[str]]
StatusEvent = Literal["birth", "heartbeat", "stopped", "will"]
Waits = Literal["nothing", "telemetry", "backlog", "records"]


@lru_cache(maxsize=4096)
def _check(field: str, pattern: str, text: str) -> None:
    if re.match(pattern, text) is None:
        raise ValueError(f"`{field}` does not match {pattern}")


class _Wire(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all wire types share: immutable, fields by name, nothing unknown let through."""


class _Record(_Wire, frozen=True, kw_only=True, tag_field="kind", omit_defaults=True):
    """What all records share: the JSON field ``kind`` says which one it is; fields at their default are left out."""


class RulCycles(_Wire, frozen=True, kw_only=True):
    """Remaining useful life in cycles: the mean and the 5, 50 and 95 % quantiles, unclipped, q05 ≤ q50 ≤ q95."""

    mean: float
    q05: float
    q50: float
    q95: float


class ModelRef(_Wire, frozen=True, kw_only=True):
    """Which released model made a prediction; ``sha256`` is of the .tflite file."""

    name: Name
    version: Name
    sha256: Sha256

    def __post_init__(self) -> None:
        """Raise ValueError if ``sha256`` is none; in decoding, that becomes msgspec's error."""
        _check("sha256", SHA256_PATTERN, self.sha256)


class Window(_Wire, frozen=True, kw_only=True):
    """The cycle rows that a prediction rests on: first and last cycle (inclusive) and how many were present."""

    first_cycle: Cycle
    last_cycle: Cycle
    rows: Annotated[int, Meta(ge=1)]


class Telemetry(_Record, frozen=True, kw_only=True, tag="telemetry"):
    """One cycle row of one engine: every channel of one instant, NaN as null, with its quality flags.

    ``refusal`` says why no prediction was made from this row, where none was.
    """

    engine: RecordSerial
    installation_id: Name | None = None
    cycle: Cycle
    observed_at: Utc
    clock_unsynced: bool = False
    channels: dict[str, float | None]
    flags: Flags = {}
    refusal: Reason | None = None

    def __post_init__(self) -> None:
        """Raise ValueError if ``engine`` is no serial; in decoding, that becomes msgspec's error."""
        _check("engine", SERIAL_PATTERN, self.engine)


class Prediction(_Record, frozen=True, kw_only=True, tag="prediction"):
    """One RUL prediction with its lineage; ``input`` is the quantised input tensor (base64 on the wire)."""

    engine: RecordSerial
    installation_id: Name | None = None
    cycle: Cycle
    observed_at: Utc
    predicted_at: Utc
    rul_cycles: RulCycles
    cap_cycles: Annotated[float, Meta(gt=0)]
    model: ModelRef
    runtime: Name
    window: Window
    flags: Flags = {}
    input: bytes
    origin: Literal["edge", "command", "centre", "replay"] = "edge"
    request_id: Name | None = None

    def __post_init__(self) -> None:
        """Raise ValueError if ``engine`` is no serial; in decoding, that becomes msgspec's error."""
        _check("engine", SERIAL_PATTERN, self.engine)


class Gap(_Record, frozen=True, kw_only=True, tag="gap"):
    """Says that the gateway dropped the listed seqs of its stream by policy, and why."""

    gap_id: Annotated[str, Meta(min_length=1, max_length=64)]
    ranges: list[SeqRange]
    reason: Reason
    noticed_at: Utc


Record = Telemetry | Prediction | Gap


class Envelope(_Wire, frozen=True, kw_only=True):
    """Records of one stream on their way to the centre, each still as the bytes frozen at acceptance."""

    v: int = VERSION
    stream_id: StreamId
    records: NumberedRecords


class Quarantined(_Wire, frozen=True, kw_only=True):
    """A record the centre keeps but does not use, and why."""

    seq: Seq
    reason: Reason


class Deferred(_Wire, frozen=True, kw_only=True):
    """Records the centre cannot take now; send them again after ``retry_after_s`` seconds."""

    range: SeqRange
    reason: Reason
    retry_after_s: Annotated[float, Meta(ge=0)]


class Ack(_Wire, frozen=True, kw_only=True):
    """What the centre has done with records of one stream; ranges are inclusive.

    ``conflict`` says why the stream is refused as a whole: the gateway must open a new one.
    """

    v: int = VERSION
    stream_id: StreamId
    committed: list[SeqRange] = []
    quarantined: list[Quarantined] = []
    deferred: list[Deferred] = []
    conflict: Reason | None = None


class Session(_Wire, frozen=True, kw_only=True):
    """One start of one agent: a counter kept in the outbox and a nonce drawn at start."""

    counter: Annotated[int, Meta(ge=1)]
    boot_nonce: Name


class SourceStatus(_Wire, frozen=True, kw_only=True):
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


class OutboxStatus(_Wire, frozen=True, kw_only=True):
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


class Traffic(_Wire, frozen=True, kw_only=True):
    """What a gateway has exchanged with the broker since its agent was started: topics and payloads, in bytes."""

    sent_bytes: int
    received_bytes: int


class BudgetStatus(_Wire, frozen=True, kw_only=True):
    """What a gateway may exchange with the broker in a day (UTC), and has on this one: topics and payloads, in bytes.

    ``waits`` says what is held back until the next day, each with what stands before it: telemetry, the backlog, or
    all records.
    """

    day_bytes: int
    spent_bytes: int
    waits: Waits


class Status(_Wire, frozen=True, kw_only=True):
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


class CentreStatus(_Wire, frozen=True, kw_only=True):
    """Whether one aggregator replica accepts records, and which store it writes to; retained."""

    v: int = VERSION
    replica: Name
    accepting: bool
    store_epoch: Name
    sent_at: Utc


class Resend(_Wire, frozen=True, kw_only=True, tag_field="action", tag="resend"):
    """Send these records of a stream again, although they were acknowledged.

    They are all that the store of ``store_epoch`` lacks of what the gateway told it to hold; there may be none.
    """

    stream_id: StreamId
    ranges: Annotated[list[SeqRange], Meta(max_length=RESEND_RANGES_MAX)]
    store_epoch: Name


class SendAgain(_Wire, frozen=True, kw_only=True, tag_field="action", tag="send_again"):
    """Send these records of a stream again, because a person wants them; says nothing of any store."""

    stream_id: StreamId
    ranges: Annotated[list[SeqRange], Meta(min_length=1, max_length=RESEND_RANGES_MAX)]


class Predict(_Wire, frozen=True, kw_only=True, tag_field="action", tag="predict"):
    """Predict an engine now, after its latest row, in a record of the origin ``command``."""

    engine: Serial


class RestartSource(_Wire, frozen=True, kw_only=True, tag_field="action", tag="restart_source"):
    """Close the sensor source and open it anew, where reading goes on."""


class FetchSamples(_Wire, frozen=True, kw_only=True, tag_field="action", tag="fetch_samples"):
    """Send the samples of an engine that were observed from ``since`` up to ``until``, as far as they are still kept.

    They come in ``Reply.samples``, ``limit`` of them at most, in the order in which the gateway got them.
    """

    engine: Serial
    since: Utc
    until: Utc
    limit: Annotated[int, Meta(ge=1, le=SAMPLES_MAX)] = SAMPLES_MAX


Order = Resend | SendAgain | Predict | RestartSource | FetchSamples


class Command(_Wire, frozen=True, kw_only=True):
    """What the centre asks of one gateway; obeyed once, and never retained.

    After ``expires_at`` it is refused; but a ``Resend`` is obeyed however late.
    """

    command_id: CommandId
    site: Name
    gateway: Name
    issued_at: Utc
    expires_at: Utc
    order: Order


class SignedCommand(_Wire, frozen=True, kw_only=True):
    """An encoded ``Command`` with the Ed25519 signature (RFC 8032) of its bytes by the centre's key."""

    v: int = VERSION
    command: bytes
    signature: bytes


class SampleChunk(_Wire, frozen=True, kw_only=True):
    """Some of the samples that were asked for: a line each of time, the hardware's cycle and a value per channel.

    A value is null where the hardware had none or the channel came at another time. The parts of an answer are numbered
    from 1, and the last one says so; ``is_cut`` there that there are more than were asked for, and ``oldest_at`` when
    the oldest sample of this engine was observed that is still kept.
    """

    engine: Serial
    part: Annotated[int, Meta(ge=1)]
    is_last: bool
    is_cut: bool = False
    oldest_at: Utc | None = None
    channels: list[Name] = []
    lines: list[tuple[Utc, int | None, list[float | None]]] = []


class Reply(_Wire, frozen=True, kw_only=True):
    """What a gateway did about a command; ``unavailable`` are the asked seqs that it no longer has.

    Where those are many, several replies to the command share them; so do they the samples that were asked for.
    """

    v: int = VERSION
    command_id: CommandId
    outcome: Literal["done", "refused"]
    reason: Reason | None = None
    stream_id: StreamId | None = None
    unavailable: SeqRanges = []
    samples: SampleChunk | None = None


Message = TypeVar("Message", bound=Struct)

_encoder = msgspec.json.Encoder()
_record_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)
_envelope_decoder = msgspec.json.Decoder(Envelope)


class _Head(Struct, frozen=True):
    """The part of an envelope that every version of the contract has."""

    v: int
    stream_id: StreamId
    records: NumberedRecords


_head_decoder = msgspec.json.Decoder(_Head)


def encode(message: Struct) -> bytes:
    """Encode a wire type as UTF-8 JSON; NaN becomes null."""
    return _encoder.encode(message)


def as_reason(text: str) -> str:
    """Make any text a ``Reason``: cut to its length, with ? for what a text on the wire must not hold.

    >>> len(as_reason("x" * 5000))
    1000
    """
    cut = text if len(text) <= REASON_MAX_CHARS else f"{text[: REASON_MAX_CHARS - 1]}…"
    return cut.replace("\0", "?").encode(errors="replace").decode()


def decode_record(body: bytes | Raw) -> Record:
    """Decode one record.

    Raises:
        MessageError: the bytes are not JSON or break the contract; says which field.
    """
    try:
        return _record_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MessageError(str(error)) from error


def decode_envelope(payload: bytes) -> Envelope:
    """Decode an envelope but not its records, which stay the sender's bytes; any version is let through.

    Raises:
        MessageError: the bytes are not JSON or not an envelope.
    """
    try:
        return _envelope_decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        try:
            head = _head_decoder.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise MessageError(str(error)) from error
        if head.v == VERSION:
            raise MessageError(str(error)) from error
        return Envelope(v=head.v, stream_id=head.stream_id, records=head.records)


def decode(payload: bytes, message_type: type[Message]) -> Message:
    """Decode a message that is not an envelope.

    Raises:
        MessageError: the bytes are not JSON or break the contract; says which field.
    """
    try:
        return msgspec.json.decode(payload, type=message_type)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MessageError(str(error)) from error


def digest(body: bytes | Raw) -> bytes:
    """The 16-byte BLAKE2b digest by which a repeated record is recognised."""
    return hashlib.blake2b(body, digest_size=16).digest()


def envelope(stream_id: str, records: Iterable[tuple[int, bytes]]) -> bytes:
    """Build an envelope around record bytes, verbatim."""
    return encode(Envelope(stream_id=stream_id, records=[(seq, Raw(body)) for seq, body in records]))
