"""What was true of simulated hardware, as JSON lines beside it: cycles with their faults, and faults of the line."""

from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from shared.errors import SpoolwatchError
from simulators.hardware.faults import ClockFault, SensorFault
from simulators.truth import TruthFile, read_account


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


class HardwareTruth(TruthFile[Truth]):
    """The account of one play; that of the play before goes.

    Raises:
        SpoolwatchError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
            super().__init__(path)
        except OSError as error:
            raise SpoolwatchError(f"cannot write the truth {path}: {error.strerror}") from error


def read_hardware_truth(path: Path) -> list[Truth]:
    """Read the account back.

    Raises:
        SpoolwatchError: there is none, or a line is damaged; names the line.
    """
    return read_account(path, Truth)
