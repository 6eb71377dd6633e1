"""What the centre asks of a gateway, and what that answers."""

from typing import Annotated, Literal

from msgspec import Meta

from shared.messages.wire import VERSION, CommandId, Name, Reason, SeqRange, SeqRanges, Serial, StreamId, Utc, Wire

SAMPLES_MAX = 20_000
RESEND_RANGES_MAX = 50  # with which a signed command fits a packet of 4 KiB, the smallest that gateways get by with


class Resend(Wire, frozen=True, kw_only=True, tag_field="action", tag="resend"):
    """Send these records of a stream again, although they were acknowledged.

    They are all that the store of ``store_epoch`` lacks of what the gateway told it to hold; there may be none.
    """

    stream_id: StreamId
    ranges: Annotated[list[SeqRange], Meta(max_length=RESEND_RANGES_MAX)]
    store_epoch: Name


class SendAgain(Wire, frozen=True, kw_only=True, tag_field="action", tag="send_again"):
    """Send these records of a stream again, because a person wants them; says nothing of any store."""

    stream_id: StreamId
    ranges: Annotated[list[SeqRange], Meta(min_length=1, max_length=RESEND_RANGES_MAX)]


class Predict(Wire, frozen=True, kw_only=True, tag_field="action", tag="predict"):
    """Predict an engine now, after its latest row, in a record of the origin ``command``."""

    engine: Serial


class RestartSource(Wire, frozen=True, kw_only=True, tag_field="action", tag="restart_source"):
    """Close the sensor source and open it anew, where reading goes on."""


class FetchSamples(Wire, frozen=True, kw_only=True, tag_field="action", tag="fetch_samples"):
    """Send the samples of an engine that were observed from ``since`` up to ``until``, as far as they are still kept.

    They come in ``Reply.samples``, ``limit`` of them at most, in the order in which the gateway got them.
    """

    engine: Serial
    since: Utc
    until: Utc
    limit: Annotated[int, Meta(ge=1, le=SAMPLES_MAX)] = SAMPLES_MAX


Order = Resend | SendAgain | Predict | RestartSource | FetchSamples


class Command(Wire, frozen=True, kw_only=True):
    """What the centre asks of one gateway; obeyed once, and never retained.

    After ``expires_at`` it is refused; but a ``Resend`` is obeyed however late.
    """

    command_id: CommandId
    site: Name
    gateway: Name
    issued_at: Utc
    expires_at: Utc
    order: Order


class SignedCommand(Wire, frozen=True, kw_only=True):
    """An encoded ``Command`` with the Ed25519 signature (RFC 8032) of its bytes by the centre's key."""

    v: int = VERSION
    command: bytes
    signature: bytes


class SampleChunk(Wire, frozen=True, kw_only=True):
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


class Reply(Wire, frozen=True, kw_only=True):
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
