"""TLS between this aggregator and the broker, by its own certificate authority where no files are set."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from aggregator.access.authority import Authority
from aggregator.settings import BrokerSettings
from shared.tls import Tls


def broker_tls(broker: BrokerSettings, authority: Authority, replica: str) -> Callable[[], ssl.SSLContext] | None:
    """What makes the TLS context of each connection anew; None where none is to be spoken."""
    if not broker.tls:
        return None

    def make() -> ssl.SSLContext:
        with TemporaryDirectory(prefix="spoolwatch-tls-") as made:  # OpenSSL reads certificates from files only
            ca_file, cert_file = broker.ca_file, broker.cert_file
            if ca_file is None:
                ca_file = Path(made, "ca.crt")
                ca_file.write_text(authority.pem, encoding="ascii")
            if cert_file is None:
                cert_file = Path(made, "centre.pem")
                cert_file.write_bytes(authority.issue_centre(replica, datetime.now(UTC)))
            return Tls(ca_file, cert_file, broker.key_file, broker.server_name).context()

    return make
