"""Records on their way to the centre, and what it answers.

An envelope carries ``[seq, record]`` pairs of one stream; it embeds the records' bytes verbatim.
"""

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from shared.errors import MessageError
from shared.messages.wire import VERSION, Name, Reason, Seq, SeqRange, StreamId, Utc, Wire, encode

ENVELOPE_MAX_RECORDS = 500
ENVELOPE_MAX_BYTES = 256 * 1024

NumberedRecords = Annotated[list[tuple[Seq, Raw]], Meta(min_length=1)]


class Envelope(Wire, frozen=True, kw_only=True):
    """Records of one stream on their way to the centre, each still as the bytes frozen at acceptance."""

    v: int = VERSION
    stream_id: StreamId
    records: NumberedRecords


class Quarantined(Wire, frozen=True, kw_only=True):
    """A record the centre keeps but does not use, and why."""

    seq: Seq
    reason: Reason


class Deferred(Wire, frozen=True, kw_only=True):
    """Records the centre cannot take now; send them again after ``retry_after_s`` seconds."""

    range: SeqRange
    reason: Reason
    retry_after_s: Annotated[float, Meta(ge=0)]


class Ack(Wire, frozen=True, kw_only=True):
    """What the centre has done with records of one stream; ranges are inclusive.

    ``conflict`` says why the stream is refused as a whole: the gateway must open a new one.
    """

    v: int = VERSION
    stream_id: StreamId
    committed: list[SeqRange] = []
    quarantined: list[Quarantined] = []
    deferred: list[Deferred] = []
    conflict: Reason | None = None


class CentreStatus(Wire, frozen=True, kw_only=True):
    """Whether one aggregator replica accepts records, and which store it writes to; retained."""

    v: int = VERSION
    replica: Name
    accepting: bool
    store_epoch: Name
    sent_at: Utc


class _Head(Struct, frozen=True):
    """The part of an envelope that every version of the contract has."""

    v: int
    stream_id: StreamId
    records: NumberedRecords


_envelope_decoder = msgspec.json.Decoder(Envelope)
_head_decoder = msgspec.json.Decoder(_Head)


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


def envelope(stream_id: str, records: Iterable[tuple[int, bytes]]) -> bytes:
    """Build an envelope around record bytes, verbatim."""
    return encode(Envelope(stream_id=stream_id, records=[(seq, Raw(body)) for seq, body in records]))
