"""What the agent asks of the hardware it reads from; each adapter is one module in ``sources/``."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Protocol

from shared.rows import SensorRow


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """Something the source sent that is not a usable row: the bytes as they came, and why."""

    raw: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Batch:
    """What a source had ready at one moment; made durable as a whole.

    Attributes:
        readings: rows and refused rows in the order in which they came; may be empty.
        cursor: where reading goes on after this batch, in the source's own words; None if it keeps its place itself.
        receipts: what the source wants back in ``accepted``.
    """

    readings: list[SensorRow | RefusedRow] = field(default_factory=list)
    cursor: str | None = None
    receipts: tuple[object, ...] = ()


class SensorSource(Protocol):
    """One connection to engine hardware."""

    @property
    def kind(self) -> str:
        """The ``source.kind`` setting that chooses this adapter."""

    def batches(self, cursor: str | None) -> AsyncGenerator[Batch, None]:
        """Read on from a cursor (None: from the start), yielding at least once a second, if need be nothing.

        Ends when the source has no more rows and never will have. Raises ``SourceError`` when the hardware
        cannot be read; the caller tries again later.
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
