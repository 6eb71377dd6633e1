"""What the agent asks of the hardware it reads from; each adapter is one module in ``sources/``."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Protocol

from shared.rows import Sample, SensorRow


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """Something the source sent that is neither a usable row nor a usable sample: the bytes as they came, and why."""

    raw: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Batch:
    """What a source had ready at one moment; made durable as a whole.

    Attributes:
        readings: cycle rows, samples and what was refused, in the order in which they came. Empty where the hardware
            is in reach and has given nothing.
        cursor: where reading goes on after this batch, in the source's own words; None if it keeps its place itself.
        receipts: what the source wants back in ``accepted``.
    """

    readings: list[SensorRow | Sample | RefusedRow] = field(default_factory=list)
    cursor: str | None = None
    receipts: tuple[object, ...] = ()


class SensorSource(Protocol):
    """One connection to engine hardware; gives whole cycle rows, or samples that become cycle rows here.

    What a source promises:

    Clock: every reading carries the hardware's own time where the hardware has a clock, else the gateway's at the
    moment of reading; all channels that were read together carry one time, and no time is made up for what was not
    read. Steps of that clock are passed on as they are.

    Order: readings of one engine come in the order in which the hardware gave them. Across engines there is none.

    Delivery: a source that can wait for us (a broker, a file) gives each reading at least once: it acknowledges in
    ``accepted``, or goes on behind the cursor of the last batch that became durable; repeats change nothing. A polled
    or streaming source gives at most once: what it gave within the commit window (``outbox.commit_interval_ms`` for
    rows, ``ring.commit_interval_ms`` for samples) is lost in a power cut, and what the hardware had while nobody was
    connected was never given.

    Names: engines are this gateway's, channels those of the model; what is anything else is a ``RefusedRow`` with the
    bytes as they came. Nothing is dropped in silence.
    """

    @property
    def kind(self) -> str:
        """The ``source.kind`` setting that chooses this adapter."""

    def batches(self, cursor: str | None) -> AsyncGenerator[Batch, None]:
        """Read on from a cursor (None: from the start), yielding at least once a second, if need be nothing.

        Yields nothing before the hardware is in reach, which it is within ten seconds or not at all, and an empty
        batch only while it is. Ends when the source has no more rows and never will have. Raises ``SourceError`` when
        the hardware cannot be read or reached; the caller opens the source again later, with backoff.
        """

    def accepted(self, batch: Batch) -> None:
        """Take note that a batch is durable: a source that can wait for us is acknowledged here."""


class Plant(Protocol):
    """What commands ask of the sensing side."""

    def predict(self, serial: str, request_id: str) -> None:
        """Predict an engine once more after its latest row, in a durable record that names the request.

        Raises ``RowError`` or ``OutboxError`` where that cannot be, with nothing stored.
        """

    def restart_source(self) -> None:
        """Close the sensor source soon and open it anew."""
