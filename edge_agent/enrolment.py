"""``spoolwatch-agent enroll``: from a one-time token to files by which the agent connects, all of them or none."""

import json
import os
import shutil
import ssl
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

from edge_agent.centre_api import CentreApi, Enrolled
from edge_agent.identity import IdentityError, NewKey, read_expiry, sync_folder, write_secret
from edge_agent.settings import ENROLMENT, settings_file
from shared.enrolment import EnrolmentToken, fingerprint_of
from shared.errors import SpoolwatchError

IDENTITY_FILE = "identity.pem"
AUTHORITY_FILE = "ca.crt"


class EnrolmentError(SpoolwatchError):
    """The gateway was not enrolled, and why."""


def enrol(url: str, ask_token: Callable[[], EnrolmentToken], data_dir: Path, *, force: bool = False) -> Enrolled:
    """Make a key, have the centre sign it, and write what came.

    Args:
        url: of the centre's API.
        ask_token: gives what the centre made for this gateway; called only where it is needed.
        data_dir: of the agent; what is written goes into a folder there.
        force: replace what an enrolment before has written.

    Raises:
        EnrolmentError: the gateway is enrolled already, whoever answers is not the centre of the token, or the folder
            cannot be written.
        CentreApiError: the centre cannot be reached or refuses.
    """
    folder = data_dir / ENROLMENT
    if folder.exists() and not force:
        raise EnrolmentError(f"{_present(folder)}; to enrol anew, repeat this with --force and a new token")
    token = ask_token()
    with _Folder(folder) as fresh:  # before the token is used up
        authority = _authority(url, token)
        key = NewKey()
        enrolled = CentreApi(url, authority).enrol(token.text, key.request_pem)
        content = {
            IDENTITY_FILE: key.with_certificate(enrolled.certificate),
            AUTHORITY_FILE: authority.encode(),
            settings_file(data_dir).name: _settings(url, folder, enrolled).encode(),
        }
        try:
            for name, bytes_of_it in content.items():
                write_secret(fresh.path / name, bytes_of_it)
            fresh.take_place()
        except OSError as error:
            raise EnrolmentError(
                f"{folder} cannot be written ({error.strerror}); the token is used up, so ask for another and try again"
            ) from error
    return enrolled


def _authority(url: str, token: EnrolmentToken) -> str:
    """The authority of whoever answers, if it is that of the token."""
    authority = CentreApi(url).authority()
    try:
        der = ssl.PEM_cert_to_DER_cert(authority)
    except ValueError as error:
        raise EnrolmentError(f"{url} answers in another way than a centre does") from error
    if fingerprint_of(der) != token.fingerprint:
        raise EnrolmentError(
            f"{url} is not the centre that made this token, or somebody on the way answers in its place: its "
            "certificate authority has another fingerprint. The token was not sent"
        )
    return authority


def _present(folder: Path) -> str:
    try:
        return f"{folder} has a certificate that is good until {read_expiry(folder / IDENTITY_FILE):%Y-%m-%d %H:%M} UTC"
    except IdentityError as error:
        return f"{folder} is there already, but {error}"


class _Folder:
    """A folder that is made whole beside its place, which it takes in the end."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def __enter__(self) -> "_Folder":
        parent = self._place.parent
        try:
            parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            self.path = Path(mkdtemp(prefix=f"{self._place.name}.", dir=parent))
        except OSError as error:
            raise EnrolmentError(f"{parent} cannot be written ({error.strerror}); the token was not sent") from error
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def take_place(self) -> None:
        owner = self._place.parent.stat()
        for path in (*self.path.iterdir(), self.path):  # as root, for the agent's user
            os.chown(path, owner.st_uid, owner.st_gid)
        if self._place.exists():
            before = self._place.with_name(f"{self._place.name}.before")
            shutil.rmtree(before, ignore_errors=True)
            self._place.rename(before)
        self.path.rename(self._place)
        sync_folder(self._place.parent)


def _settings(url: str, folder: Path, enrolled: Enrolled) -> str:
    """Settings in TOML; its strings are spelt as in JSON."""
    broker = enrolled.broker
    here = folder.absolute()
    engines = ", ".join(
        f"{{ serial = {json.dumps(serial)}, unit = {unit} }}" for unit, serial in enumerate(enrolled.engines, 1)
    )
    values = {
        "host": broker.host,
        "port": broker.port,
        "transport": broker.transport,
        "path": broker.path,
        "ca_file": str(here / AUTHORITY_FILE),
        "cert_file": str(here / IDENTITY_FILE),
    }
    lines = [
        "# Written by spoolwatch-agent enroll; what the agent's own settings say counts more.",
        f"site = {json.dumps(enrolled.site)}",
        f"gateway = {json.dumps(enrolled.gateway)}",
        f"centre_url = {json.dumps(url)}",
        f"centre_key = {json.dumps(enrolled.centre_key)}",
        *([f"engines = [{engines}]"] if engines else []),
        "",
        "[broker]",
        "tls = true",
        *(f"{name} = {json.dumps(value)}" for name, value in values.items()),
    ]
    return "\n".join(lines) + "\n"
