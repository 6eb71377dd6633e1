"""First step of ingest: turns a message from the broker into an arrival; pure, and never fails."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from aggregator.store.arrivals import (
    Arrival,
    DeferredArrival,
    Entry,
    EnvelopeArrival,
    MalformedArrival,
    ReplyArrival,
    StatusArrival,
)
from shared import messages
from shared.errors import MessageError, TopicError
from shared.messages import ENVELOPE_MAX_BYTES, ENVELOPE_MAX_RECORDS, VERSION, Reply, Status, as_reason
from shared.topics import GatewayTopic

_NUL = b"\\u0000"
_parse = lru_cache(maxsize=4096)(GatewayTopic.parse)


def arrive(topic: str, payload: bytes, received_at: datetime) -> Arrival:
    """Decode and check a message; what cannot be used says why."""
    topic = topic.replace("\0", "\\0")  # which MQTT forbids, and not every broker refuses
    try:
        parsed = _parse(topic)
        if parsed.kind == "status":
            return StatusArrival(parsed, _decode_status(payload), received_at)
        if parsed.kind == "reply":
            return ReplyArrival(parsed, _decode_reply(payload), received_at)
        return _arrive_envelope(parsed, payload, received_at)
    except (MessageError, TopicError) as error:
        return MalformedArrival(topic, payload, as_reason(str(error)), received_at)
    except RecursionError:
        return MalformedArrival(topic, payload, "nested too deeply", received_at)


def _arrive_envelope(topic: GatewayTopic, payload: bytes, received_at: datetime) -> Arrival:
    if len(payload) > ENVELOPE_MAX_BYTES:
        raise MessageError(f"an envelope of {len(payload)} bytes; at most {ENVELOPE_MAX_BYTES} are allowed")
    envelope = messages.decode_envelope(payload)
    if len(envelope.records) > ENVELOPE_MAX_RECORDS:
        raise MessageError(
            f"an envelope of {len(envelope.records)} records; at most {ENVELOPE_MAX_RECORDS} are allowed"
        )
    if "\0" in envelope.stream_id:
        raise MessageError("stream_id holds a NUL character")
    if envelope.v != VERSION:
        reason = f"envelope version {envelope.v} is unknown here, this centre knows {VERSION}: upgrade the centre"
        return DeferredArrival(topic, envelope.stream_id, [seq for seq, _ in envelope.records], as_reason(reason))
    has_escapes = b"\\" in payload  # found a hundred times sooner than a NUL would be
    entries = [read_entry(seq, bytes(body), topic, received_at, has_escapes) for seq, body in envelope.records]
    return EnvelopeArrival(topic, envelope.stream_id, entries, received_at)


def read_entry(seq: int, body: bytes, topic: GatewayTopic, received_at: datetime, has_escapes: bool = True) -> Entry:
    """Decode and check one record; what cannot be used says why."""
    digest = messages.digest(body)
    try:
        record = messages.decode_record(body)
        if has_escapes:
            _check_text(body)
        _CHECKS[type(record)](record)
    except MessageError as error:
        return Entry(seq, body, digest, topic, received_at, reason=as_reason(str(error)))
    except RecursionError:
        return Entry(seq, body, digest, topic, received_at, reason="nested too deeply")
    return Entry(seq, body, digest, topic, received_at, record)


# A time in UTC, as nearly all are, is seen without a call: these run for every record.


def _check_telemetry(record: messages.Telemetry) -> None:
    if record.observed_at.tzinfo is not UTC:
        _check_time("observed_at", record.observed_at)


def _check_prediction(record: messages.Prediction) -> None:
    if record.observed_at.tzinfo is not UTC:
        _check_time("observed_at", record.observed_at)
    if record.predicted_at.tzinfo is not UTC:
        _check_time("predicted_at", record.predicted_at)
    if record.origin != "edge" or record.request_id is not None:
        _check_origin(record)
    rul, window = record.rul_cycles, record.window
    if not rul.q05 <= rul.q50 <= rul.q95:
        raise MessageError(f"quantiles are out of order - at `$.rul_cycles`: {rul.q05}, {rul.q50}, {rul.q95}")
    if not window.rows <= window.last_cycle - window.first_cycle + 1:
        raise MessageError(
            f"{window.rows} rows do not fit cycles {window.first_cycle} to {window.last_cycle} - at `$.window`"
        )


def _check_origin(record: messages.Prediction) -> None:
    if record.origin not in ("edge", "command"):
        raise MessageError(f"a gateway makes no prediction of the origin {record.origin!r} - at `$.origin`")
    if (record.origin == "command") != bool(record.request_id):
        raise MessageError("a prediction by command, and no other, has the id of the command - at `$.request_id`")


def _check_gap(record: messages.Gap) -> None:
    _check_time("noticed_at", record.noticed_at)


_CHECKS: dict[type[messages.Record], Callable[[Any], None]] = {
    messages.Telemetry: _check_telemetry,
    messages.Prediction: _check_prediction,
    messages.Gap: _check_gap,
}


def _decode_status(payload: bytes) -> Status:
    status = messages.decode(payload, Status)
    if status.v != VERSION:
        raise MessageError(f"status version {status.v} is unknown here, this centre knows {VERSION}: upgrade it")
    _check_text(payload)
    _check_time("sent_at", status.sent_at)
    if status.session.counter >= 2**63:
        raise MessageError(f"{status.session.counter} is no session counter - at `$.session.counter`")
    return status


def _decode_reply(payload: bytes) -> Reply:
    reply = messages.decode(payload, Reply)
    _check_text(payload)
    if reply.samples is not None:
        _check_samples(reply.samples)
    return reply


def _check_samples(chunk: messages.SampleChunk) -> None:
    if chunk.oldest_at is not None:
        _check_time("samples.oldest_at", chunk.oldest_at)
    for observed_at, cycle, values in chunk.lines:
        if observed_at.tzinfo is not UTC:
            _check_time("samples.lines", observed_at)
        if len(values) != len(chunk.channels):
            raise MessageError(f"{len(values)} values for {len(chunk.channels)} channels - at `$.samples.lines`")
        if cycle is not None and abs(cycle) >= 2**63:
            raise MessageError(f"{cycle} is no cycle - at `$.samples.lines`")


def _check_text(body: bytes) -> None:
    if _NUL in body:  # PostgreSQL stores no NUL characters
        raise MessageError("a text holds a NUL character")


def _check_time(field: str, time: datetime) -> None:
    try:
        time.astimezone(UTC)
    except OverflowError as error:
        raise MessageError(f"{time.isoformat()} is outside of the years 1 to 9999 in UTC - at `$.{field}`") from error
