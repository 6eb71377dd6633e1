"""Settings of the Modbus sources: the line to the devices, and the map of their registers."""

import math
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from edge_agent.serial_settings import Parity, SerialLine
from shared.settings import Section

Table = Literal["holding", "input", "coil", "discrete"]
NumberType = Literal["int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
BIT_TABLES = ("coil", "discrete")
WORDS: dict[NumberType, int] = {
    **dict.fromkeys(("int16", "uint16"), 1),
    **dict.fromkeys(("int32", "uint32", "float32"), 2),
    **dict.fromkeys(("int64", "uint64", "float64"), 4),
}


class Register(Section):
    """One number in a device: ``offset + scale × what the registers hold``."""

    address: int = Field(ge=0, le=65_535, description="of the first register as on the wire, from 0 (40001 is 0)")
    type: NumberType = Field("uint16", description="how the number lies in its registers; coils and inputs are bits")
    table: Table = Field("holding", description="which table of the device")
    word_order: Literal["big", "little"] = Field("big", description="little: the lowest register comes first")
    scale: float = Field(1.0, allow_inf_nan=False, description="what the raw number is multiplied by")
    offset: float = Field(0.0, allow_inf_nan=False, description="what is added after that")
    unit: str | None = Field(None, description="unit of the result; where given, it must be the model's")
    missing: int | None = Field(None, description="raw number by which the device says that it has no value")

    @property
    def words(self) -> int:
        """How many registers it takes, or 1 bit."""
        return 1 if self.table in BIT_TABLES else WORDS[self.type]

    @model_validator(mode="after")
    def _fits(self) -> "Register":
        if self.scale == 0:
            raise ValueError("scale is 0: every value would be the same")
        if self.address + self.words > 65_536:
            raise ValueError(f"a {self.type} at {self.address} ends behind the last register, 65535")
        return self


class RegisterMap(Section):
    """What lies where in every engine's device; the same for all engines, whose devices differ by unit id."""

    channels: dict[str, Register] = Field(min_length=1, description="register of each channel")
    cycle: Register | None = Field(None, description="register that counts cycles, where there is one")
    sample: Register | None = Field(
        None, description="register that changes with each new sample: a poll that finds it unchanged gives nothing"
    )

    @model_validator(mode="after")
    def _counters_count(self) -> "RegisterMap":
        for name, register in (("cycle", self.cycle), ("sample", self.sample)):
            if register is not None and register.type.startswith("float"):
                raise ValueError(f"{name}: a counter is a whole number, not {register.type}")
        return self


class _Modbus(Section):
    """What Modbus over TCP and over a serial line share; an engine's ``unit`` is the unit id of its device."""

    registers: RegisterMap | None = Field(None, description="the register map, or name its file in map_file")
    map_file: Path | None = Field(None, description="TOML file with the register map: cycle, sample, [channels]")
    poll_interval_s: float = Field(1.0, gt=0, le=3600, description="seconds between two readings of every engine")
    timeout_s: float = Field(1.0, gt=0, le=3, description="seconds that a device may take for an answer")
    registers_per_request: int = Field(
        125, ge=4, le=125, description="registers asked for at once, at most; some devices take fewer than 125"
    )

    @model_validator(mode="after")
    def _one_map(self) -> "_Modbus":
        if (self.registers is None) == (self.map_file is None):
            raise ValueError("give the register map either as registers or as map_file")
        if self.map_file is not None:
            _ = self.map  # a wrong file is a wrong setting
        return self

    @cached_property
    def map(self) -> RegisterMap:
        """The register map, from wherever it is."""
        return self.registers or read_map(self.map_file or Path())


class ModbusTcpSource(_Modbus):
    """Samples from registers of Modbus devices, over TCP."""

    kind: Literal["modbus_tcp"] = "modbus_tcp"
    host: str = Field(min_length=1, description="host name or address of the device or of the gateway before it")
    port: int = Field(502, ge=1, le=65_535, description="TCP port")


class ModbusRtuSource(_Modbus, SerialLine):
    """Samples from registers of Modbus devices on a serial line."""

    kind: Literal["modbus_rtu"] = "modbus_rtu"
    parity: Parity = Field("even", description="parity bit; even is what the standard wants")


def read_map(path: Path) -> RegisterMap:
    """Read a register map from its file.

    Raises:
        ValueError: it cannot be read or is wrong; names the file and each wrong setting.
    """
    try:
        with path.open("rb") as file:
            return RegisterMap.model_validate(tomllib.load(file))
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False)]
        raise ValueError(f"{path}: {'; '.join(wrong)}") from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from error


def resolution(register: Register) -> float:
    """The step between two neighbouring values of a register; 0 for floats, whose step depends on the value.

    >>> resolution(Register(address=0, type="uint16", scale=0.01))
    0.01
    """
    return 0.0 if register.type.startswith("float") else math.fabs(register.scale)
