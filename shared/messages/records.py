"""What a gateway says of an engine: rows, predictions, and what it had to drop.

A record's bytes are frozen when the gateway accepts it, without seq or stream, so that renumbering keeps them; the
centre takes its digest over them.
"""

import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw

from shared.errors import MessageError
from shared.messages.wire import (
    SERIAL_PATTERN,
    SHA256_PATTERN,
    Cycle,
    Name,
    Reason,
    SeqRange,
    Sha256,
    Utc,
    Wire,
    check,
)

# In records the same few come again and again: `check` remembers them. msgspec would match each anew, which takes
# a quarter of decoding.
RecordSerial = Annotated[str, Meta(extra_json_schema={"pattern": SERIAL_PATTERN})]
Flags = dict[str, list[str]]


class _Record(Wire, frozen=True, kw_only=True, tag_field="kind", omit_defaults=True):
    """What all records share: the JSON field ``kind`` says which one it is; fields at their default are left out."""


class RulCycles(Wire, frozen=True, kw_only=True):
    """Remaining useful life in cycles: the mean and the 5, 50 and 95 % quantiles, unclipped, q05 ≤ q50 ≤ q95."""

    mean: float
    q05: float
    q50: float
    q95: float


class ModelRef(Wire, frozen=True, kw_only=True):
    """Which released model made a prediction; ``sha256`` is of the .tflite file."""

    name: Name
    version: Name
    sha256: Sha256

    def __post_init__(self) -> None:
        """Raise ValueError if ``sha256`` is none; in decoding, that becomes msgspec's error."""
        check("sha256", SHA256_PATTERN, self.sha256)


class Window(Wire, frozen=True, kw_only=True):
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
        check("engine", SERIAL_PATTERN, self.engine)


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
        check("engine", SERIAL_PATTERN, self.engine)


class Gap(_Record, frozen=True, kw_only=True, tag="gap"):
    """Says that the gateway dropped the listed seqs of its stream by policy, and why."""

    gap_id: Annotated[str, Meta(min_length=1, max_length=64)]
    ranges: list[SeqRange]
    reason: Reason
    noticed_at: Utc


Record = Telemetry | Prediction | Gap

_record_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


def decode_record(body: bytes | Raw) -> Record:
    """Decode one record.

    Raises:
        MessageError: the bytes are not JSON or break the contract; says which field.
    """
    try:
        return _record_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MessageError(str(error)) from error


def digest(body: bytes | Raw) -> bytes:
    """The 16-byte BLAKE2b digest by which a repeated record is recognised."""
    return hashlib.blake2b(body, digest_size=16).digest()
