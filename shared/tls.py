"""TLS towards the broker: who is trusted, who we are, and by which name the other side must be known."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Tls:
    """How a connection is encrypted; the files are read anew for each one, so that a renewed certificate counts.

    Attributes:
        ca_file: certificates of authorities that are trusted; None for those that the system trusts.
        cert_file: our certificate, and its key where ``key_file`` is None; None to show none.
        key_file: the key of our certificate.
        server_name: the name in the other side's certificate; None for the host that is connected to.
    """

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str | None = None

    def context(self) -> ssl.SSLContext:
        """Read the files.

        Raises:
            SettingsError: one cannot be used, and which.
        """
        context = _Context(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.server_name = self.server_name
        try:
            if self.ca_file is None:
                context.load_default_certs()
            else:
                context.load_verify_locations(self.ca_file)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise SettingsError(f"broker.ca_file {self.ca_file}: {_why(error)}") from error
        if self.cert_file is not None:
            try:
                context.load_cert_chain(self.cert_file, self.key_file, password=_no_password)
            except (OSError, ValueError) as error:
                files = " with ".join(str(file) for file in (self.cert_file, self.key_file) if file is not None)
                raise SettingsError(f"broker.cert_file {files}: {_why(error)}") from error
        return context


class _Socket(ssl.SSLSocket):
    """A socket that is closed where its handshake fails; paho forgets it then."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError:
            self.close()
            raise


class _Context(ssl.SSLContext):
    """A context that may be told another name than that of the host."""

    server_name: str | None = None

    def __init__(self, *_: object) -> None:
        self.sslsocket_class = _Socket

    def wrap_socket(self, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        if self.server_name is not None:
            options["server_hostname"] = self.server_name
        return super().wrap_socket(*arguments, **options)


def _no_password() -> str:
    raise ValueError("the key is locked with a password; store it without one, readable by this program's user only")


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"no usable certificate and key in PEM format ({error.reason or error})"
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
