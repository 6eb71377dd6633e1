"""Writes the settings by which an agent reads simulated hardware: ``agent.toml``, with its maps beside it."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel

from shared.errors import SpoolwatchError
from simulators.centre import LOOPBACK
from simulators.hardware.engine import EngineHardware

MAP_FILE = "registers.toml"
_HEAD = """\
# Made by spoolwatch-simulate hardware; broker and site are those of README's first steps.
site = "demo"
gateway = "gw-hardware"
data_dir = {data_dir}
engines = [
{engines}
]

[broker]
host = "127.0.0.1"
mqtt_version = 3

"""
# Real sensors are noisy: so many equal samples are none of a healthy one.
STUCK_SAMPLES = 8


def write_settings(folder: Path, protocol: str, engines: Sequence[EngineHardware], port: int, speed: float) -> Path:
    """Write them and give the file's path.

    Args:
        folder: where to.
        protocol: what the hardware speaks.
        engines: whose hardware it is.
        port: where it, or the broker it publishes to, is reached.
        speed: samples per second.

    Raises:
        SpoolwatchError: the folder cannot be written.
    """
    listed = (f"    {{ serial = {json.dumps(engine.serial)}, unit = {engine.unit} }}," for engine in engines)
    # A folder of its own: to an agent that has seen these engines fly, they would fall back to cycle 1.
    data_dir = folder.absolute() / f"agent-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    head = _HEAD.format(data_dir=json.dumps(str(data_dir)), engines="\n".join(listed))
    path = folder / "agent.toml"
    try:
        source = _SOURCES[protocol](folder.absolute(), port, speed)
        path.write_text(head + source + _limits(engines[0]), encoding="utf-8")
    except OSError as error:
        raise SpoolwatchError(f"cannot write {path}: {error.strerror}") from error
    return path


def _limits(engine: EngineHardware) -> str:
    lines = [f"{name} = {{ stuck_samples = {STUCK_SAMPLES} }}\n" for name in engine.noisy_channels]
    return "\n[limits]\n" + "".join(lines) if lines else ""


def _modbus(folder: Path, port: int, speed: float) -> str:
    from simulators.hardware.modbus import register_map

    registers = register_map()
    counters = f"cycle = {_inline(registers.cycle)}\nsample = {_inline(registers.sample)}\n\n[channels]\n"
    (folder / MAP_FILE).write_text(counters + _table(registers.channels), encoding="utf-8")
    return (
        f'[source]\nkind = "modbus_tcp"\nhost = "{LOOPBACK}"\nport = {port}\n'
        f"map_file = {json.dumps(str(folder / MAP_FILE))}\npoll_interval_s = {0.4 / speed:.4g}\n"
    )


def _opcua(_folder: Path, port: int, speed: float) -> str:
    from simulators.hardware.opcua import node_map

    nodes = node_map()
    lines = "".join(f"{name} = {json.dumps(node)}\n" for name, node in nodes.channels.items())
    return (
        f'[source]\nkind = "opcua"\nurl = "opc.tcp://{LOOPBACK}:{port}"\ninterval_s = {max(0.1, 1 / speed):.4g}\n\n'
        f"[source.nodes]\ncycle = {json.dumps(nodes.cycle)}\n\n[source.nodes.channels]\n{lines}"
    )


def _mqtt(_folder: Path, port: int, _speed: float) -> str:
    from simulators.hardware.json_lines import TOPIC

    return (
        f'[source]\nkind = "mqtt"\nhost = "{LOOPBACK}"\nport = {port}\nmqtt_version = 3\n'
        f'topic = "{TOPIC}"\ngives = "samples"\n'
    )


def _tcp(_folder: Path, port: int, _speed: float) -> str:
    return f'[source]\nkind = "tcp"\nhost = "{LOOPBACK}"\nport = {port}\n'


_SOURCES = {"modbus": _modbus, "opcua": _opcua, "mqtt": _mqtt, "tcp": _tcp}


def _table(sections: Mapping[str, BaseModel]) -> str:
    return "".join(f"{name} = {_inline(section)}\n" for name, section in sections.items())


def _inline(section: BaseModel | None) -> str:
    """One line of TOML; strings and numbers are written alike in JSON."""
    fields = section.model_dump(exclude_defaults=True) if section else {}
    return (
        "{ " + ", ".join(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()) + " }"
    )
