"""Lets gateways in: draws tokens, signs certificates for who shows one, and says what a new gateway needs to know."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from aggregator.access.authority import Authority, Issued
from aggregator.access.roles import Caller
from aggregator.settings import BrokerSettings, EnrolmentSettings
from aggregator.store import enrolment
from aggregator.store.database import Store
from aggregator.store.enrolment import Enrolled, EnrolmentError
from aggregator.store.registry import RegistryError
from shared.enrolment import EnrolmentToken, EnrolmentTokenError, draw_token, parse_token
from shared.settings import Transport


@dataclass(frozen=True, slots=True)
class Welcome:
    """What every gateway is told: where the broker is, and by which key it knows the centre's commands."""

    host: str
    port: int
    transport: Transport
    path: str
    centre_key: str
    certificate_lifetime: timedelta = timedelta(days=90)
    token_lifetime: timedelta = timedelta(days=1)

    @classmethod
    def of(cls, broker: BrokerSettings, told: EnrolmentSettings, centre_key: str) -> "Welcome | None":
        """What the settings say; None where the broker asks for no certificates."""
        if not broker.tls:
            return None
        return cls(
            told.broker_host or broker.host,
            told.broker_port or (443 if told.transport == "websockets" else 8883),
            told.transport,
            told.path,
            centre_key,
            timedelta(days=told.certificate_days),
            timedelta(hours=told.token_hours),
        )


class Invitation(NamedTuple):
    """A token for one gateway, shown this once, and until when it is good."""

    token: EnrolmentToken
    expires_at: datetime


class Enrolment:
    """The centre's side of enrolment.

    Args:
        store: where tokens' digests and certificates are.
        authority: signs.
        welcome: what gateways are told; None where they need no certificate, as the broker asks for none.
        now: the clock, aware UTC.
    """

    def __init__(
        self, store: Store, authority: Authority, welcome: Welcome | None, now: Callable[[], datetime]
    ) -> None:
        self._store, self._authority, self._welcome, self._now = store, authority, welcome, now

    @property
    def authority(self) -> str:
        """The authority's certificate in PEM."""
        return self._authority.pem

    @property
    def welcome(self) -> Welcome:
        """What gateways are told.

        Raises:
            RegistryError: the broker here asks for no certificates.
        """
        if self._welcome is None:
            raise RegistryError(
                "the broker of this centre asks for no certificates: set broker.kind = external and broker.tls = true"
            )
        return self._welcome

    def invite(self, gateway: str, by: Caller) -> Invitation:
        """Draw a token for a gateway; those before are good for nothing.

        Raises:
            RegistryError: it is not registered where whoever asks is an engineer, or needs no certificate.
        """
        now = self._now()
        invitation = Invitation(draw_token(self._authority.der), now + self.welcome.token_lifetime)
        enrolment.keep_token(self._store, gateway, *invitation, by, now)
        return invitation

    def enrol(self, token: str, request_pem: str, address: str | None) -> Enrolled:
        """Give a gateway a certificate for its token.

        Raises:
            EnrolmentError: the token is good for nothing.
            SigningRequestError: a certificate cannot be made from the request.
        """
        try:
            shown = parse_token(token)
        except EnrolmentTokenError as error:
            raise EnrolmentError(str(error)) from error
        now = self._now()
        return enrolment.enrol(self._store, shown, partial(self._sign, request_pem, now), address, now)

    def renew(self, certificate_pem: str, request_pem: str, signature: bytes, address: str | None) -> Enrolled:
        """Give a gateway another certificate for the one that it has.

        Raises:
            EnrolmentError: that was revoked or replaced.
            SigningRequestError: it is not one of ours, or not good now, or a certificate cannot be made.
        """
        now = self._now()
        gateway, certificate_id = self._authority.recognise(certificate_pem, request_pem, signature, now)
        sign = partial(self._sign, request_pem, now)
        return enrolment.renew(self._store, gateway, certificate_id, sign, address, now)

    def revoke(self, gateway: str, by: Caller) -> None:
        """Let a gateway in no longer.

        Raises:
            RegistryError: it is not registered where whoever asks is an engineer.
        """
        enrolment.revoke(self._store, gateway, by, self._now())

    def _sign(self, request_pem: str, now: datetime, gateway: str) -> Issued:
        return self._authority.sign_gateway(request_pem, gateway, now, self.welcome.certificate_lifetime)
