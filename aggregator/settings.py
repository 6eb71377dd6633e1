"""Settings of the aggregator: a TOML file, ``SPOOLWATCH_AGGREGATOR_*`` variables and flags, the last one winning."""

import re
import ssl
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import SettingsConfigDict

from aggregator.fleet.bands import THRESHOLDS, Quantile, Thresholds
from shared.errors import SettingsError
from shared.messages import ENVELOPE_MAX_BYTES
from shared.settings import MqttVersion, Name, ProgramSettings, Section, Transport, is_loopback


def _rate(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d{0,8}/(second|minute|hour)", text):
        raise ValueError(f"{text!r} is no rate; write it like 600/minute, per second, minute or hour")
    return text


Rate = Annotated[str, AfterValidator(_rate)]


def _public_url(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in ("https", "http") or not url.hostname or url.query or url.fragment:
        raise ValueError(f"{text!r} is no address of pages; write it like https://spoolwatch.example.org")
    return text.rstrip("/")


PublicUrl = Annotated[str, AfterValidator(_public_url)]


class ApiSettings(Section):
    """Where the API and the page are served, and to how much."""

    host: str = Field("127.0.0.1", description="address to serve on; other than loopback once there are accounts")
    port: int = Field(8000, ge=0, le=65535, description="TCP port; 0 takes any free one")
    max_body_bytes: int = Field(1024 * 1024, ge=1024, description="the longest request body that is read")
    rate: Rate = Field("6000/minute", description="requests per caller and route that are answered")
    login_rate: Rate = Field("20/minute", description="logins per address that are looked at")
    cors_origins: tuple[str, ...] = Field((), description="origins whose pages may use the API with a token")
    tls_cert_file: Path | None = Field(None, description="certificate to serve https with, in PEM; without it http")
    tls_key_file: Path | None = Field(None, description="key of that certificate; without it, tls_cert_file holds both")
    public_url: PublicUrl | None = Field(
        None,
        description="where people reach the pages, for links in what they are told: https://spoolwatch.example.org",
    )
    trusted_proxies: tuple[str, ...] = Field(
        (),
        description="addresses of reverse proxies whose X-Forwarded-For and -Proto count, once there are accounts",
    )

    def check_tls(self) -> None:
        """Make sure that https can be served with the certificate, if there is one.

        Raises:
            SettingsError: it cannot.
        """
        if self.tls_cert_file is None:
            return
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.tls_cert_file, self.tls_key_file)
        except OSError as error:
            why = "no certificate and its key in PEM format" if isinstance(error, ssl.SSLError) else error.strerror
            raise SettingsError(f"api.tls_cert_file {self.tls_cert_file}, api.tls_key_file: {why}") from error

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return is_loopback(self.host)


class IssuerSettings(Section):
    """An outside issuer of tokens, such as Keycloak or Supabase; without a URL there is none."""

    url: str | None = Field(None, description="who issues: what the claim iss of its tokens says")
    jwks_url: str | None = Field(None, description="where it publishes its keys as a JWK set; https")
    audience: str | None = Field(None, description="what the claim aud of tokens for this centre says")
    name_claim: str = Field("sub", description="claim with the name that the audit log gets")
    roles_claim: str = Field(
        "spoolwatch_roles",
        description="claim with a list of ROLE@SITE, such as engineer@hamburg or viewer@*; or a path, such as a.b",
    )

    @model_validator(mode="after")
    def _all_or_none(self) -> "IssuerSettings":
        needed = (self.url, self.jwks_url, self.audience)
        if any(needed) and not all(needed):
            raise ValueError("url, jwks_url and audience belong together: set all three, or none")
        return self

    @model_validator(mode="after")
    def _keys_cannot_be_swapped(self) -> "IssuerSettings":
        if self.jwks_url is not None:
            url = urlsplit(self.jwks_url)
            if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.hostname or "")):
                raise ValueError(f"jwks_url {self.jwks_url}: must be https, or anyone on the way could put keys there")
        return self


class BrokerSettings(Section):
    """The MQTT broker between the gateways and this aggregator."""

    kind: Literal["embedded", "external"] = Field(
        "embedded", description="embedded: in this process, on loopback, for a first look; external: e.g. Mosquitto"
    )
    host: str = Field("127.0.0.1", description="host name or address of the broker")
    port: int | None = Field(None, ge=1, le=65535, description="TCP port of the broker; without it 1883, with TLS 8883")
    mqtt_version: MqttVersion = Field(5, description="5, or 3 for MQTT 3.1.1; the embedded broker speaks 3.1.1")
    share_group: Name | None = Field(
        None, description="name that aggregators over one database have in common, to share the records among them"
    )
    username: str | None = Field(None, description="user name at the broker")
    password_file: Path | None = Field(None, description="file that holds the password and nothing else")

    tls: bool = Field(False, description="speak TLS to the broker, and show it a certificate")
    ca_file: Path | None = Field(
        None, description="authority of the broker's certificate, in PEM; without it the centre's own"
    )
    cert_file: Path | None = Field(
        None, description="certificate to show, in PEM; without it one that the centre's own authority makes"
    )
    key_file: Path | None = Field(None, description="key of that certificate; without it, cert_file holds both")
    server_name: str | None = Field(None, description="name in the broker's certificate, where it is not the host")
    dynamic_security: bool = Field(
        False,
        description="have Mosquitto's dynamic security plugin let in enrolled gateways, each to its own topics",
    )

    @property
    def tcp_port(self) -> int:
        """The port, chosen or usual."""
        return self.port or (8883 if self.tls else 1883)

    @model_validator(mode="after")
    def _secrets_travel_encrypted(self) -> "BrokerSettings":
        if self.password_file is not None and not self.tls and not is_loopback(self.host):
            raise ValueError(f"host {self.host}: a password is sent through TLS or to loopback only; set tls = true")
        if self.dynamic_security and not self.tls:
            raise ValueError("dynamic_security knows clients by their certificates; set tls = true")
        if self.tls and self.kind == "embedded":
            raise ValueError("the embedded broker speaks no TLS; set kind = external")
        return self

    @model_validator(mode="after")
    def _embedded_stays_on_loopback(self) -> "BrokerSettings":
        if self.kind == "embedded" and not is_loopback(self.host):
            raise ValueError(f"host {self.host}: the embedded broker knows no passwords and serves loopback only")
        return self

    @model_validator(mode="after")
    def _share_by_mqtt_5(self) -> "BrokerSettings":
        if self.share_group is not None and (self.kind == "embedded" or self.mqtt_version != 5):
            raise ValueError("share_group needs an external broker and MQTT 5, which knows shared subscriptions")
        return self

    def password(self) -> str | None:
        """Read the password.

        Raises:
            SettingsError: the file cannot be read.
        """
        if self.password_file is None:
            return None
        try:
            return self.password_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingsError(f"broker.password_file {self.password_file}: {error.strerror}") from error


class EnrolmentSettings(Section):
    """What gateways are told when they enrol."""

    broker_host: str | None = Field(None, description="host of the broker as gateways see it; without it broker.host")
    broker_port: int | None = Field(None, ge=1, le=65535, description="its port; without it 8883, with websockets 443")
    transport: Transport = Field("tcp", description="tcp, or websockets where firewalls let nothing else through")
    path: str = Field("/mqtt", pattern="^/", description="path of the broker's URL, with websockets")
    certificate_days: int = Field(90, ge=1, le=825, description="days that a gateway's certificate is good")
    token_hours: int = Field(24, ge=1, le=24 * 30, description="hours that an enrolment token is good")


class QuarantineSettings(Section):
    """How much is kept of what the centre refused; the bound is of the store, so the same for all replicas."""

    max_rows: int = Field(
        100_000, ge=1, description="messages and records at most; the oldest are given up for new ones"
    )
    max_bytes: int = Field(256 * 1024 * 1024, ge=ENVELOPE_MAX_BYTES, description="bytes at most, of them all together")


class RetentionSettings(Section):
    """For how long records are kept after they were received; the same for all replicas.

    Older ones are summed up by day and deleted, but for the first and last rows of each installation.
    """

    telemetry_days: int | None = Field(None, ge=1, description="days that rows are kept; without it, for ever")
    predictions_days: int | None = Field(None, ge=1, description="days that predictions are kept; without it, for ever")


class FleetSettings(Section):
    """What the health bands of the fleet go by; the same for all replicas."""

    critical_below_cycles: float = Field(THRESHOLDS.critical_below_cycles, gt=0, description="critical below this RUL")
    warning_below_cycles: float = Field(THRESHOLDS.warning_below_cycles, gt=0, description="warning below this RUL")
    quantile: Quantile = Field(THRESHOLDS.quantile, description="of each prediction, what is compared: q05, q50 or q95")

    @model_validator(mode="after")
    def _critical_before_warning(self) -> "FleetSettings":
        if self.critical_below_cycles > self.warning_below_cycles:
            raise ValueError("critical_below_cycles must not be above warning_below_cycles")
        return self

    def thresholds(self) -> Thresholds:
        """As the rules take them."""
        return Thresholds(self.critical_below_cycles, self.warning_below_cycles, self.quantile)


class AggregatorSettings(ProgramSettings):
    """Everything that can be set about one aggregator process."""

    model_config = SettingsConfigDict(env_prefix="SPOOLWATCH_AGGREGATOR_")

    data_dir: Path = Field(Path("/var/lib/spoolwatch-aggregator"), description="folder of the store and its keys")
    database_url: str | None = Field(
        None, description="sqlite:///FILE or postgresql://…; without it, SQLite in the data folder"
    )
    command_key_file: Path | None = Field(
        None,
        description="private key that signs commands to gateways, made if there is none; the same for all replicas; "
        "without it, command.key in the data folder",
    )
    token_key_file: Path | None = Field(
        None,
        description="private key that signs the tokens of people who log in, made if there is none; the same for all "
        "replicas; without it, token.key in the data folder",
    )
    ca_file: Path | None = Field(
        None,
        description="key and certificate of the centre's certificate authority, made if there is none; the same for "
        "all replicas; without it, ca.pem in the data folder",
    )
    replica: Name = Field("a", description="name of this aggregator among several")
    api: ApiSettings = ApiSettings()
    issuer: IssuerSettings = IssuerSettings()
    broker: BrokerSettings = BrokerSettings()
    enrolment: EnrolmentSettings = EnrolmentSettings()
    quarantine: QuarantineSettings = QuarantineSettings()
    retention: RetentionSettings = RetentionSettings()
    fleet: FleetSettings = FleetSettings()
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="lowest level to log")
    log_format: Literal["text", "json"] = Field("text", description="text for people, json for machines")

    def check_data_dir(self) -> None:
        """Make sure that the data folder can be made and written to; nothing is left there.

        Raises:
            SettingsError: it cannot.
        """
        folder = self.data_dir.absolute()
        try:
            nearest = next(path for path in (folder, *folder.parents) if path.exists())
            with TemporaryDirectory(dir=nearest):  # permissions alone do not tell, to root least of all
                pass
        except OSError as error:
            raise SettingsError(
                f"data_dir {self.data_dir}: this user cannot make or write to it ({error.strerror}); "
                "name another folder with --data-dir"
            ) from error

    def check_host(self, *, has_accounts: bool) -> None:
        """Make sure that nobody else reaches this program before there are accounts.

        Raises:
            SettingsError: somebody would.
        """
        if has_accounts or self.issuer.url:
            return
        if self.api.trusted_proxies:
            raise SettingsError(
                "api.trusted_proxies: nobody has an account yet, so that anyone who reaches the proxy could read and "
                "change everything; first run: spoolwatch-aggregator user add NAME --role admin"
            )
        if not self.api.is_loopback:
            raise SettingsError(
                f"api.host {self.api.host}: not a loopback address, and nobody has an account yet, so that anyone who "
                "reaches it could read and change everything; first run: "
                "spoolwatch-aggregator user add NAME --role admin"
            )

    def command_key_path(self) -> Path:
        """Where the key is that signs commands."""
        return self.command_key_file or self.data_dir / "command.key"

    def ca_path(self) -> Path:
        """Where the certificate authority is."""
        return self.ca_file or self.data_dir / "ca.pem"

    def token_key_path(self) -> Path:
        """Where the key is that signs tokens."""
        return self.token_key_file or self.data_dir / "token.key"

    def store_url(self) -> str:
        """The URL of the store."""
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'store.db'}"
