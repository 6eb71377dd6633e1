"""What was true of simulated hardware, as JSON lines beside it: cycles with their faults, and faults of the line."""

from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec

from shared.errors import SpoolwatchError
from simulators.hardware.faults import ClockFault, SensorFault


class CycleTruth(msgspec.Struct, frozen=True, kw_only=True, tag_field="about", tag="cycle"):
    """What was true of one cycle, told at its end.

    Attributes:
        channels: the row of the engine model: what the samples make, reduced, if nothing is wrong.
        samples: how many samples the cycle had.
        sensor: the sensor faults that were on.
        clock: the clock faults that were on.
    """

    engine: str
    cycle: int
    rul_cycles: int
    channels: dict[str, float]
    samples: int
    sensor: list[SensorFault]
    clock: list[ClockFault]
    ended_at: datetime


LineState = Literal["good", "refused", "cut", "silent", "slow"]


class LineTruth(msgspec.Struct, frozen=True, kw_only=True, tag_field="about", tag="line"):
    """The line to the gateway fell ill, or recovered."""

    state: LineState
    at: datetime


Truth = CycleTruth | LineTruth


class HardwareTruth:
    """Writes the account; each line is on its way to the disk when ``tell`` returns."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise SpoolwatchError(f"cannot write the truth {path}: {error.strerror}") from error

    def tell(self, truth: Truth) -> None:
        """Write one line."""
        self._file.write(msgspec.json.encode(truth) + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def read_hardware_truth(path: Path) -> list[Truth]:
    """Read the account back.

    Raises:
        SpoolwatchError: there is none, or a line is damaged; names the line.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise SpoolwatchError(f"cannot read the truth {path}: {error.strerror}") from error
    told = []
    for number, line in enumerate(lines, start=1):
        try:
            told.append(msgspec.json.decode(line, type=Truth))
        except msgspec.DecodeError as error:
            raise SpoolwatchError(f"{path} line {number} is damaged: {error}") from error
    return told
