"""The centre's private keys: made at the first start, each kept in a file that only its owner can read."""

import base64
import os
from pathlib import Path
from tempfile import NamedTemporaryFile

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from shared import messages
from shared.desired import SignedEngineDesired
from shared.errors import SettingsError
from shared.messages import Command, SignedCommand


class CommandKey:
    """An Ed25519 key (RFC 8032); it shows only its public half."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @property
    def public(self) -> str:
        """What gateways pin as ``centre_key``: the raw public key in base64."""
        return base64.b64encode(self._key.public_key().public_bytes_raw()).decode()

    def sign(self, command: Command) -> bytes:
        """Spell a command for the wire."""
        body = messages.encode(command)
        return messages.encode(SignedCommand(command=body, signature=self._key.sign(body)))

    def sign_desired(self, body: bytes) -> bytes:
        """Spell an encoded ``EngineDesired`` for the wire."""
        return messages.encode(SignedEngineDesired(desired=body, signature=self._key.sign(body)))


def open_command_key(path: Path) -> CommandKey:
    """Read the key by which gateways know the centre's commands, or draw one if there is none yet.

    Raises:
        SettingsError: the file cannot be read or made, or holds something else.
    """
    return CommandKey(open_private_key(path, "command_key_file"))


def open_private_key(path: Path, setting: str) -> Ed25519PrivateKey:
    """Read a key, or draw one if there is none yet.

    Args:
        path: its file.
        setting: which setting names the file, to be told where something is wrong with it.

    Raises:
        SettingsError: the file cannot be read or made, or holds something else.
    """
    try:
        if not path.exists():
            write_once(path, _draw())
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise SettingsError(f"{setting} {path}: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"{setting} {path} holds no private key in PEM format") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SettingsError(f"{setting} {path} holds a key of another kind; it must be Ed25519")
    return key


def write_once(path: Path, pem: bytes) -> None:
    """Make a file of secrets whole and at once: two replicas that start together share that of the first.

    Raises:
        OSError: it cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent) as file:  # which only its owner can read
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
        try:
            os.link(file.name, path)
        except FileExistsError:
            return


def _draw() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
