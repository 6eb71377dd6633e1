"""Keeps this gateway's certificate young: beside the two loops, over https, long before it expires."""

import asyncio
import random
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import structlog

from edge_agent.settings import AgentSettings
from shared.errors import SpoolwatchError

LOOK_INTERVAL_S = 3600.0
SPREAD = 0.05
"""Up to this part of a lifetime later than it is due, so that boxes that enrolled together do not renew together."""

log = structlog.get_logger(__name__)


class Renewal:
    """Renews the certificate that enrolment got, where it is time.

    Args:
        centre_url: of the centre's API.
        cert_file: key and certificate, which a renewal replaces in one step.
        ca_file: the centre's authority.
        now: the clock, aware UTC.
        uniform: draws a number between two.
    """

    def __init__(
        self,
        centre_url: str,
        cert_file: Path,
        ca_file: Path,
        now: Callable[[], datetime],
        *,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._centre_url, self._cert_file, self._ca_file = centre_url, cert_file, ca_file
        self._now, self._uniform = now, uniform
        self._delay = uniform(0, SPREAD)

    async def run(self) -> None:
        """Look each hour until cancelled; what does not work now is tried again."""
        while True:
            try:
                await asyncio.to_thread(self.renew_if_due)
            except (SpoolwatchError, OSError) as error:
                log.warning("certificate_not_renewed", reason=str(error), next_try_s=LOOK_INTERVAL_S)
            await asyncio.sleep(LOOK_INTERVAL_S * self._uniform(0.9, 1.1))

    def renew_if_due(self) -> bool:
        """Renew if it is time; the connections made from then on show the new certificate.

        Raises:
            IdentityError: our own files cannot be used.
            CentreApiError: the centre cannot be reached or refuses.
            OSError: the new certificate cannot be written; the present one stays.
        """
        from edge_agent.centre_api import CentreApi, read_authority
        from edge_agent.identity import NewKey, read_identity, write_secret

        present = read_identity(self._cert_file)
        lifetime = present.expires_at - present.certificate.not_valid_before_utc
        if self._now() < present.renewal_at + lifetime * self._delay:
            return False
        key = NewKey()
        api = CentreApi(self._centre_url, read_authority(self._ca_file))
        renewed = api.renew(present.pem, key.request_pem, present.sign_renewal(key.request_der))
        write_secret(self._cert_file, key.with_certificate(renewed.certificate))
        log.info("certificate_renewed", expires_at=renewed.expires_at.isoformat())
        return True


def renewal_of(settings: AgentSettings, now: Callable[[], datetime]) -> Renewal | None:
    """What the settings ask for; None where somebody else looks after the certificate."""
    broker = settings.broker
    if settings.centre_url is None or broker.cert_file is None or broker.ca_file is None or broker.key_file is not None:
        return None
    return Renewal(settings.centre_url, broker.cert_file, broker.ca_file, now)
