"""How gateways enrol, as the API shows and takes it."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field

from aggregator.api.schemas.names import Name
from aggregator.enrolment import Invitation, Welcome
from aggregator.store.enrolment import Enrolled
from shared.settings import Transport

Pem = Annotated[str, Field(max_length=8192, examples=["-----BEGIN CERTIFICATE REQUEST-----\n…"])]
_STRICT = ConfigDict(extra="forbid")


class MadeToken(BaseModel):
    """A token that has just been made."""

    token: str = Field(description="For `spoolwatch-agent enroll`: it is shown this once and stored nowhere.")
    expires_at: datetime

    @classmethod
    def of(cls, invitation: Invitation) -> Self:
        """Show a token."""
        return cls(token=invitation.token.text, expires_at=invitation.expires_at)


class Certificate(BaseModel):
    """A gateway's certificate that is let in."""

    id: str = Field(description="Its serial number in hexadecimal; in the certificate's subject, too.")
    issued_at: datetime
    expires_at: datetime


class CertificateAuthority(BaseModel):
    """Who signs the certificates of this centre, its broker and its gateways."""

    certificate: Pem = Field(description="Trust it only if its SHA-256 is the one in the token.")


class EnrolmentRequest(BaseModel):
    """A gateway that wants in."""

    model_config = _STRICT

    token: str = Field(max_length=200, description="Good once.")
    signing_request: Pem = Field(
        description="PKCS #10, of a P-256 key that was made on the gateway; its names are ignored."
    )


class RenewalRequest(BaseModel):
    """A gateway that is in, and wants to stay."""

    model_config = _STRICT

    certificate: Pem = Field(description="The present one.")
    signing_request: Pem = Field(description="PKCS #10, of a new P-256 key.")
    signature: Base64Bytes = Field(
        max_length=1024,
        description="By the present key (ECDSA, SHA-256, DER), over `spoolwatch certificate renewal`, a line feed, and "
        "the signing request in DER.",
    )


class GatewayBroker(BaseModel):
    """Where a gateway finds the broker."""

    host: str
    port: int = Field(description="Of TCP.")
    transport: Transport
    path: str = Field(description="Of the URL, with websockets.")


class Enrolment(BaseModel):
    """What a gateway needs to know; nothing of it is secret."""

    gateway: Name
    site: Name
    engines: list[Name] = Field(description="The serials that hang there now, by position.")
    certificate: Pem
    expires_at: datetime
    broker: GatewayBroker
    centre_key: str = Field(description="What signs the centre's commands: Ed25519, raw, in base64.")

    @classmethod
    def of(cls, enrolled: Enrolled, welcome: Welcome) -> Self:
        """Show what a gateway got."""
        return cls(
            gateway=enrolled.gateway,
            site=enrolled.site,
            engines=list(enrolled.engines),
            certificate=enrolled.certificate.pem,
            expires_at=enrolled.certificate.expires_at,
            broker=GatewayBroker(host=welcome.host, port=welcome.port, transport=welcome.transport, path=welcome.path),
            centre_key=welcome.centre_key,
        )
