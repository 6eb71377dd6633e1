"""The line between hardware and gateway: healthy, or ill as the schedule of faults says."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from simulators.hardware.faults import LinkFault
from simulators.hardware.truth import LineState
from simulators.link import Link


class Line:
    """The line to a server, by schedule.

    Attributes:
        state: ``good``, or the kind of the fault that is on.

    Args:
        server_port: where it ends.
        port: where it begins.
        faults: when it falls ill; of two at a time the first counts.
    """

    def __init__(self, server_port: int, port: int, faults: Sequence[LinkFault]) -> None:
        self.state: LineState = "good"
        self._faults = faults
        self._on: LinkFault | None = None
        self._link = Link(server_port, port=port)
        self.port = self._link.port

    @property
    def used(self) -> bool:
        """Whether anybody has ever connected."""
        return self._link.used

    def follow(self, elapsed_s: float) -> bool:
        """Be as the schedule says for this moment; whether that is a change."""
        on = next((fault for fault in self._faults if fault.from_s <= elapsed_s < fault.to_s), None)
        if on is self._on:
            return False
        self._on = on
        self.state = "good" if on is None else on.kind
        self._link.heal()
        self._link.thaw()
        match self.state:
            case "refused":
                self._link.refuse()
            case "cut":
                self._link.cut()
            case "silent":
                self._link.freeze()
            case "slow" if on is not None:
                self._link.slow(on.delay_s)
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._link.close()
