"""What all messages share: their types of field with bounds, and strict UTF-8 JSON."""

import re
from datetime import datetime
from functools import lru_cache
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from shared.errors import MessageError

VERSION = 1
CYCLE_MAX = 2**31 - 1
NAME_MAX_CHARS = 200
REASON_MAX_CHARS = 1000
RANGES_MAX = 1000

Utc = Annotated[datetime, Meta(tz=True)]
SERIAL_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$(?!\n)"
SHA256_PATTERN = r"^[0-9a-f]{64}$(?!\n)"
Serial = Annotated[str, Meta(pattern=SERIAL_PATTERN)]
Sha256 = Annotated[str, Meta(extra_json_schema={"pattern": SHA256_PATTERN})]
Cycle = Annotated[int, Meta(ge=1, le=CYCLE_MAX)]
Seq = Annotated[int, Meta(ge=1, le=2**63 - 1)]
SeqRange = tuple[Seq, Seq]
SeqRanges = Annotated[list[SeqRange], Meta(max_length=RANGES_MAX)]
StreamId = Annotated[str, Meta(min_length=1, max_length=64)]
CommandId = Annotated[str, Meta(min_length=1, max_length=64)]
Name = Annotated[str, Meta(max_length=NAME_MAX_CHARS)]
Reason = Annotated[str, Meta(max_length=REASON_MAX_CHARS)]
Message = TypeVar("Message", bound=Struct)

_encoder = msgspec.json.Encoder()


@lru_cache(maxsize=4096)
def check(field: str, pattern: str, text: str) -> None:
    """Raise ValueError if the text does not match; remembers the texts that do."""
    if re.match(pattern, text) is None:
        raise ValueError(f"`{field}` does not match {pattern}")


class Wire(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all wire types share: immutable, fields by name, nothing unknown let through."""


def encode(message: Struct) -> bytes:
    """Encode a wire type as UTF-8 JSON; NaN becomes null."""
    return _encoder.encode(message)


def decode(payload: bytes, message_type: type[Message]) -> Message:
    """Decode a message that is not an envelope.

    Raises:
        MessageError: the bytes are not JSON or break the contract; says which field.
    """
    try:
        return msgspec.json.decode(payload, type=message_type)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MessageError(str(error)) from error


def as_reason(text: str) -> str:
    """Make any text a ``Reason``: cut to its length, with ? for what a text on the wire must not hold.

    >>> len(as_reason("x" * 5000))
    1000
    """
    cut = text if len(text) <= REASON_MAX_CHARS else f"{text[: REASON_MAX_CHARS - 1]}…"
    return cut.replace("\0", "?").encode(errors="replace").decode()
