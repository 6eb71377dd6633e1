"""Settings of a serial line, and of the source that reads lines of JSON from one."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from shared.settings import Section

Parity = Literal["none", "even", "odd"]
PARITIES: dict[Parity, str] = {"none": "N", "even": "E", "odd": "O"}
"""As the libraries call them."""


class SerialLine(Section):
    """The line itself, whatever is spoken on it; eight bits a character."""

    device: Path = Field(description="the serial line, such as /dev/ttyUSB0")
    baud_rate: int = Field(19_200, ge=300, le=4_000_000, description="bits per second")
    parity: Parity = Field("none", description="parity bit")
    stop_bits: Literal[1, 2] = Field(1, description="stop bits")


class SerialSource(SerialLine):
    """Lines of JSON from a serial line: samples, or rows of whole cycles."""

    kind: Literal["serial"] = "serial"
    gives: Literal["rows", "samples"] = Field(
        "samples", description="samples: JSON of one moment a line; rows: JSON of whole cycles"
    )
