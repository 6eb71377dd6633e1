"""Settings of the agent: a TOML file, ``SPOOLWATCH_AGENT_*`` variables and flags, the last one winning."""

import base64
import binascii
import contextlib
import os
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import SettingsConfigDict

from edge_agent.cycle_settings import CycleSettings, LimitSettings, RingSettings
from edge_agent.modbus_settings import ModbusRtuSource, ModbusTcpSource
from edge_agent.opcua_settings import OpcUaSource
from edge_agent.serial_settings import SerialSource
from shared.errors import SettingsError
from shared.runtimes import Runtime
from shared.settings import MqttVersion, Name, ProgramSettings, Section, SiteName, Transport, is_loopback
from shared.tls import Tls

CONFIG = Path("/etc/spoolwatch/agent.toml")
"""The settings file where none is named."""
DATA_DIR = Path("/var/lib/spoolwatch-agent")
ENROLMENT = "enrolment"
"""The folder in the data folder where enrolment keeps what it got."""


def _public_key(text: str) -> str:
    try:
        size = len(base64.b64decode(text, validate=True))
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error
    if size != 32:
        raise ValueError(f"{size} bytes; an Ed25519 public key has 32")
    return text


TOPIC_LEVELS = ("{engine}", "{channel}")

PublicKey = Annotated[str, AfterValidator(_public_key)]


class EngineSettings(Section):
    """One engine that this gateway watches."""

    serial: Name = Field(description="serial number of the engine, as registered at the centre")
    unit: int = Field(1, ge=1, description="the number that the source's rows carry for this engine")


class BrokerSettings(Section):
    """The MQTT broker between this gateway and the centre."""

    host: str = Field("127.0.0.1", min_length=1, description="host name or address of the broker")
    port: int | None = Field(
        None, ge=1, le=65535, description="TCP port of the broker; without it 1883, with TLS 8883 or (websockets) 443"
    )
    transport: Transport = Field("tcp", description="tcp, or websockets where a firewall lets nothing else through")
    path: str = Field("/mqtt", pattern="^/", description="path of the broker's URL, with websockets")
    tls: bool = Field(False, description="speak TLS to the broker")
    ca_file: Path | None = Field(
        None, description="authorities of the broker's certificate, in PEM; without it those that the system trusts"
    )
    cert_file: Path | None = Field(None, description="this gateway's certificate, in PEM; enrolment makes it")
    key_file: Path | None = Field(None, description="key of that certificate; without it, cert_file holds both")
    server_name: str | None = Field(None, description="name in the broker's certificate, where it is not the host")
    mqtt_version: MqttVersion = Field(5, description="5, or 3 for MQTT 3.1.1")
    username: str | None = Field(None, description="user name at the broker")
    password_file: Path | None = Field(None, description="file that holds the password and nothing else")
    keepalive_s: int = Field(20, ge=5, le=3600, description="MQTT keep-alive in seconds")

    @property
    def tcp_port(self) -> int:
        """The port, chosen or usual."""
        secure = 443 if self.transport == "websockets" else 8883
        return self.port or (secure if self.tls else 1883)

    @property
    def encryption(self) -> Tls | None:
        """How the connection is encrypted; None if it is not."""
        return Tls(self.ca_file, self.cert_file, self.key_file, self.server_name) if self.tls else None

    @model_validator(mode="after")
    def _secrets_travel_encrypted(self) -> "BrokerSettings":
        if self.password_file is not None and not self.tls and not is_loopback(self.host):
            raise ValueError(f"host {self.host}: a password is sent through TLS or to loopback only; set tls = true")
        files = {"ca_file": self.ca_file, "cert_file": self.cert_file, "key_file": self.key_file}
        unused = [name for name, file in files.items() if file is not None]
        if unused and not self.tls:
            raise ValueError(f"{', '.join(unused)}: of no use without tls = true")
        return self

    def password(self) -> str | None:
        """Read the password file.

        Raises:
            SettingsError: it cannot be read.
        """
        try:
            return self.password_file.read_text(encoding="utf-8").strip() if self.password_file else None
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"broker.password_file: {self.password_file} cannot be read: {error}") from error


class DeliverySettings(Section):
    """How records travel from the outbox to the centre."""

    in_flight_envelopes: int = Field(
        16,
        ge=2,
        le=64,
        description="envelopes sent and not yet answered, at most; a quarter of them for the backlog, whose are large",
    )
    ack_timeout_s: float = Field(5.0, gt=0, description="seconds without an answer after which records go again")
    daily_budget_bytes: int | None = Field(
        None,
        ge=1_000_000,
        description="bytes of topics and payloads, both ways, that may go in a day (UTC); at 70 % of it telemetry "
        "waits for the next day and heartbeats are ten times as rare; at 85 % what is old waits, at 100 % every record",
    )
    heartbeat_interval_s: float = Field(15.0, gt=0, le=3600, description="seconds between two heartbeats")
    silence_timeout_s: float = Field(
        30.0,
        gt=0,
        description="seconds without any answer after which the agent connects anew; twice as long each further time",
    )


class OutboxSettings(Section):
    """How rows become durable and how much the gateway keeps while the centre is out of reach."""

    commit_rows: int = Field(128, ge=1, le=10_000, description="rows after which a commit is due at once")
    commit_interval_ms: float = Field(
        5.0,
        ge=0,
        le=60_000,
        description="milliseconds between two commits at least, unless commit_rows wait; a row that comes after a "
        "pause is committed at once. A power cut costs a source that cannot wait for us what it gave in this time",
    )
    max_bytes: int = Field(512 * 2**20, ge=2**20, description="size of the outbox file at most, in bytes")
    disk_reserve_bytes: int = Field(
        128 * 2**20,
        ge=16 * 2**20,
        description="free disk left to the system: with less, an outbox of 4 MiB or more grows no further",
    )
    history_days: float = Field(7.0, ge=0, description="days of running for which committed records are kept")
    history_max_bytes: int = Field(
        128 * 2**20, ge=0, description="bytes of committed records kept at most, for a centre restored from a backup"
    )


class MetricsSettings(Section):
    """What Prometheus is told on this box."""

    port: int | None = Field(
        None, ge=1, le=65535, description="TCP port of /metrics, on 127.0.0.1 only; without it nothing is served"
    )


class FileSource(Section):
    """Rows from a C-MAPSS file (26 numbers a line); with ``follow`` the file is read on as it grows."""

    kind: Literal["file"] = "file"
    path: Path = Field(description="the file; .gz is read as gzip")
    follow: bool = Field(False, description="wait for more rows at the end of the file")
    poll_interval_s: float = Field(0.05, gt=0, description="seconds between two looks at the end of the file")

    @model_validator(mode="after")
    def _gzip_does_not_grow(self) -> "FileSource":
        if self.follow and self.path.suffix == ".gz":
            raise ValueError("a .gz file cannot be followed; set follow = false or name a plain file")
        return self


class MqttSource(Section):
    """Rows, samples or single values from topics of a local broker, acknowledged to it only once they are durable."""

    kind: Literal["mqtt"] = "mqtt"
    topic: str = Field(
        min_length=1,
        description="topic filter; for values with {engine} and {channel} in the place of the levels that name them",
    )
    gives: Literal["rows", "samples", "values"] = Field(
        "rows",
        description="rows: JSON of whole cycles; samples: JSON of one moment; values: a number of one channel each",
    )
    host: str = Field("127.0.0.1", min_length=1, description="host name or address of the local broker")
    port: int = Field(1883, ge=1, le=65535, description="TCP port of the local broker")
    mqtt_version: MqttVersion = Field(5, description="5, or 3 for MQTT 3.1.1")
    client_id: Name = Field("spoolwatch-source", description="MQTT client id; its session outlives restarts")

    @model_validator(mode="after")
    def _topic_names_what_it_must(self) -> "MqttSource":
        levels = self.topic.split("/")
        named = [levels.count(name) for name in TOPIC_LEVELS]
        if self.gives == "values" and named != [1, 1]:
            raise ValueError("topic: values need {engine} and {channel} in it, each as a level: rig/{engine}/{channel}")
        if self.gives != "values" and any(name in self.topic for name in TOPIC_LEVELS):
            raise ValueError('topic: {engine} and {channel} are for gives = "values"; here the JSON names them')
        return self


class TcpSource(Section):
    """Lines of JSON from a TCP server beside the engine: samples, or rows of whole cycles."""

    kind: Literal["tcp"] = "tcp"
    host: str = Field(min_length=1, description="host name or address of the server")
    port: int = Field(ge=1, le=65535, description="its TCP port")
    gives: Literal["rows", "samples"] = Field(
        "samples", description="samples: JSON of one moment a line; rows: JSON of whole cycles"
    )


SourceSettings = Annotated[
    FileSource | MqttSource | TcpSource | SerialSource | ModbusTcpSource | ModbusRtuSource | OpcUaSource,
    Field(discriminator="kind"),
]


class AgentSettings(ProgramSettings):
    """Everything that can be set about one agent process."""

    model_config = SettingsConfigDict(env_prefix="SPOOLWATCH_AGENT_")

    site: SiteName = Field(description="where the gateway stands")
    gateway: Name = Field(description="name of this gateway, unique over all sites")
    data_dir: Path = Field(DATA_DIR, description="folder of the outbox and its state")
    model: str = Field("turbofan", description="released model (name or name@version) or a bundle's folder")
    runtime: Runtime = Field("auto", description="TFLite runtime")
    engines: list[EngineSettings] = Field(min_length=1, description="the engines this gateway watches")
    source: SourceSettings = Field(description="where sensor rows come from")
    broker: BrokerSettings = BrokerSettings()
    delivery: DeliverySettings = DeliverySettings()
    outbox: OutboxSettings = OutboxSettings()
    cycle: CycleSettings = CycleSettings()
    limits: dict[str, LimitSettings] = Field({}, description="limits for samples, by channel")
    ring: RingSettings = RingSettings()
    metrics: MetricsSettings = MetricsSettings()
    centre_key: PublicKey | None = Field(
        None,
        description="base64 of the centre's raw Ed25519 public key; without it no command is obeyed",
    )
    centre_url: str | None = Field(
        None, description="where the centre's API is, to renew this gateway's certificate there; enrolment sets it"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="lowest level to log")
    log_format: Literal["text", "json"] = Field("text", description="text for people, json for machines")

    @model_validator(mode="after")
    def _engines_are_distinct(self) -> "AgentSettings":
        for field in ("serial", "unit"):
            values = [getattr(engine, field) for engine in self.engines]
            twice = sorted({str(value) for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(f"engines: {field} {', '.join(twice)} is given twice")
        return self


def data_dir_of(config: Path | None, flag: str | None) -> Path:
    """The data folder, before all settings can be read: part of them lies in it.

    Args:
        config: the settings file.
        flag: what the command line says.
    """
    chosen = flag or os.environ.get("SPOOLWATCH_AGENT_DATA_DIR")
    if not chosen and config is not None:
        with contextlib.suppress(OSError, ValueError):  # told when all settings are read
            chosen = tomllib.loads(config.read_text(encoding="utf-8")).get("data_dir")
    return Path(chosen or DATA_DIR)


def settings_file(data_dir: Path) -> Path:
    """The settings that enrolment wrote, which all others may say better."""
    return data_dir / ENROLMENT / "agent.toml"
