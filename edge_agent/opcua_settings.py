"""Settings of the OPC UA source: the server, how it is trusted, and the node of each channel."""

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from shared.settings import Section, is_loopback

OPCUA_MISSING = "the OPC UA library is not installed: pip install 'spoolwatch[opcua]'"
USUAL_PORT = 4840
SecurityPolicy = Literal["none", "Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"]


class NodeMap(Section):
    """Node ids, the same for every engine but for ``{engine}`` (its serial) and ``{unit}`` in them."""

    channels: dict[str, str] = Field(
        min_length=1, description="node of each channel, such as nsu=urn:maker:plc;s={engine}.T24"
    )
    cycle: str | None = Field(None, description="node that counts cycles, where there is one")

    @model_validator(mode="after")
    def _names_only_what_is_known(self) -> "NodeMap":
        for template in (*self.channels.values(), *([self.cycle] if self.cycle else [])):
            try:
                template.format(engine="", unit=0)
            except (KeyError, IndexError, ValueError) as error:
                raise ValueError(f"{template}: only {{engine}} and {{unit}} may stand in braces") from error
        return self


class OpcUaSource(Section):
    """Samples from nodes of an OPC UA server, subscribed to or polled."""

    kind: Literal["opcua"] = "opcua"
    url: str = Field(description="endpoint, such as opc.tcp://10.0.0.5:4840")
    mode: Literal["subscription", "poll"] = Field(
        "subscription", description="have the server send what changes, or read all nodes again and again"
    )
    interval_s: float = Field(1.0, gt=0, le=3600, description="publishing interval, or seconds between two readings")
    sampling_interval_s: float = Field(
        0.0, ge=0, description="how often the server looks at a node it publishes; 0 is as often as it can"
    )
    timeout_s: float = Field(3.0, gt=0, le=5, description="seconds that the server may take for an answer")
    nodes: NodeMap = Field(description="node of the cycle counter and of each channel")
    security: SecurityPolicy | None = Field(
        None, description="security policy, messages signed and encrypted; 'none' must be said where it is meant"
    )
    certificate: Path | None = Field(None, description="this gateway's certificate (.der or .pem)")
    private_key: Path | None = Field(None, description="its private key (.pem or .der)")
    server_certificate: Path | None = Field(None, description="the server's certificate, which alone is trusted")
    username: str | None = Field(None, description="user name at the server; anonymous without")
    password_file: Path | None = Field(None, description="file that holds the password and nothing else")

    @field_validator("url")
    @classmethod
    def _is_opc_tcp(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme != "opc.tcp" or not parts.hostname or parts.username is not None:
            raise ValueError("give it as opc.tcp://host:port; user and password have settings of their own")
        return url

    @model_validator(mode="after")
    def _is_trusted(self) -> "OpcUaSource":
        loopback = is_loopback(urlsplit(self.url).hostname or "")
        if self.security is None and not loopback:
            raise ValueError("security: name a policy, or say 'none' if that network has only the two of you")
        files = (self.certificate, self.private_key, self.server_certificate)
        if self.is_secure != all(files) or self.is_secure != any(files):
            raise ValueError(
                "certificate, private_key and server_certificate belong to a security policy, all three of them"
            )
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file: a password belongs to a username")
        if self.username is not None and not (self.is_secure or loopback):
            raise ValueError("username: a password travels only under a security policy")
        return self

    @property
    def address(self) -> tuple[str, int]:
        """Host and TCP port of the server."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or USUAL_PORT

    @property
    def is_secure(self) -> bool:
        """Whether messages are signed and encrypted."""
        return self.security not in (None, "none")
