"""What ``spoolwatch-agent check`` looks at: everything that can be wrong before a start, without the runtime."""

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from edge_agent.modbus_settings import ModbusRtuSource, ModbusTcpSource, RegisterMap
from edge_agent.opcua_settings import OPCUA_MISSING, OpcUaSource
from edge_agent.serial_settings import SerialLine, SerialSource
from edge_agent.settings import AgentSettings, FileSource, MqttSource, TcpSource
from shared.bundle import find_bundle, read_bundle
from shared.errors import BundleError, SettingsError
from shared.manifest import Channel
from shared.runtimes import choose_runtime


def check(settings: AgentSettings) -> list[str]:
    """Look at the model, its runtime, the data folder, the source and the password file; returns what was found good.

    Raises:
        SettingsError: names each setting that cannot work, a line each.
    """
    found: list[str] = []
    wrong: list[str] = []
    for look in (_model, _runtime, check_data_dir, check_source, _cycles, _limits, _password_file, _certificate):
        try:
            found.append(look(settings))
        except SettingsError as error:
            wrong.append(str(error))
        except BundleError:
            continue  # the look at the model has told
    if wrong:
        raise SettingsError("\n".join(wrong))
    return [line for line in found if line]


def _model(settings: AgentSettings) -> str:
    try:
        manifest = read_bundle(find_bundle(settings.model)).manifest
    except BundleError as error:
        raise SettingsError(f"model: {error}") from error
    return f"model      {manifest.name} {manifest.version} (sha256 {manifest.sha256[:12]}…)"


def _runtime(settings: AgentSettings) -> str:
    try:
        return f"runtime    {choose_runtime(settings.runtime)}"
    except BundleError as error:
        raise SettingsError(f"runtime: {error}") from error


def check_data_dir(settings: AgentSettings) -> str:
    """Look whether this user can write the data folder, or make it.

    Raises:
        SettingsError: no.
    """
    existing = next(folder for folder in (settings.data_dir, *settings.data_dir.parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise SettingsError(f"data_dir: {settings.data_dir} cannot be written by this user ({existing})")
    return f"data_dir   {settings.data_dir}"


def check_source(settings: AgentSettings) -> str:
    """Look at the source's settings and files; connects to nothing.

    Raises:
        SettingsError: it cannot work so.
    """
    match settings.source:
        case FileSource() as file:
            return _file(file)
        case MqttSource() as mqtt:
            return f"source     mqtt {mqtt.topic} at {mqtt.host}:{mqtt.port}, {mqtt.gives}"
        case TcpSource() as lines:
            return f"source     lines of JSON from {lines.host}:{lines.port}, {lines.gives}"
        case SerialSource() as line:
            return f"source     lines of JSON on {_usable(line)}, {line.gives}"
        case ModbusTcpSource() as tcp:
            return f"source     Modbus at {tcp.host}:{tcp.port}, {_registers(tcp.map, settings)}"
        case ModbusRtuSource() as rtu:
            return f"source     Modbus on {_usable(rtu)}, {_registers(rtu.map, settings)}"
        case OpcUaSource() as opcua:
            return f"source     OPC UA at {opcua.url}, {_nodes(opcua, settings)}"


def _usable(line: SerialLine) -> Path:
    if not os.access(line.device, os.R_OK | os.W_OK):
        raise SettingsError(
            f"source.device: {line.device} is no serial line that this user can use: is it plugged in, the user in the "
            "group dialout, and with systemd the drop-in serial.conf there?"
        )
    return line.device


def _cycles(settings: AgentSettings) -> str:
    if isinstance(settings.source, FileSource) or getattr(settings.source, "gives", None) == "rows":
        return ""
    cycle = settings.cycle
    by = cycle.by if cycle.channel is None else f"{cycle.by} {cycle.channel}"
    return f"cycles     by {by}; a row is given out after {cycle.quiet_s:g} s of silence at the latest"


def _limits(settings: AgentSettings) -> str:
    wrong = sorted(settings.limits.keys() - {channel.name for channel in _channels(settings)})
    if wrong:
        raise SettingsError("\n".join(f"limits.{name}: the model has no such channel" for name in wrong))
    return f"limits     for {', '.join(settings.limits)}" if settings.limits else ""


def _registers(registers: RegisterMap, settings: AgentSettings) -> str:
    _check_counter(registers.cycle, "source.registers.cycle", settings)
    return _mapped({name: one.unit for name, one in registers.channels.items()}, "source.registers", settings)


def _nodes(source: OpcUaSource, settings: AgentSettings) -> str:
    if find_spec("asyncua") is None:
        raise SettingsError(f"source.kind: {OPCUA_MISSING}")
    for file in (source.certificate, source.private_key, source.server_certificate, source.password_file):
        if file is not None and not os.access(file, os.R_OK):
            raise SettingsError(f"source: {file} is no file that this user can read")
    _check_counter(source.nodes.cycle, "source.nodes.cycle", settings)
    return _mapped(dict.fromkeys(source.nodes.channels), "source.nodes", settings)


def _check_counter(counter: object, where: str, settings: AgentSettings) -> None:
    if counter is None and settings.cycle.by == "counter" and settings.cycle.channel is None:
        raise SettingsError(f"{where}: nothing tells one cycle from the next; give it, or set cycle.by")


def _mapped(told: Mapping[str, str | None], where: str, settings: AgentSettings) -> str:
    """Hold a map against the model, by channel with its unit: one in the wrong unit would be wrong in silence."""
    units: dict[str, str | None] = {channel.name: channel.unit for channel in _channels(settings)}
    if settings.cycle.channel is not None and settings.cycle.by != "gap":
        units.setdefault(settings.cycle.channel, None)
    wrong = [
        f"{where}.channels.{name}: the model has no such channel"
        if name not in units
        else f"{where}.channels.{name}: in {unit}, and the model wants {units[name]}"
        for name, unit in told.items()
        if name not in units or unit not in (None, units[name])
    ]
    if wrong:
        raise SettingsError("\n".join(wrong))
    return f"{len(told)} of {len(units)} channels mapped"


def _channels(settings: AgentSettings) -> Sequence[Channel]:
    return read_bundle(find_bundle(settings.model)).manifest.channels


def _file(source: FileSource) -> str:
    if source.path.is_dir() or not os.access(source.path, os.R_OK):
        raise SettingsError(f"source.path: {source.path} is no file that this user can read")
    return f"source     file {source.path}"


def _certificate(settings: AgentSettings) -> str:
    broker = settings.broker
    if broker.encryption is None:
        return ""
    broker.encryption.context()
    return f"tls        {'no certificate of its own' if broker.cert_file is None else broker.cert_file}"


def _password_file(settings: AgentSettings) -> str:
    return "" if settings.broker.password() is None else f"password   {settings.broker.password_file}"
