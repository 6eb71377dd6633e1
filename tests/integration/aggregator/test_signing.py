"""The key that signs commands: drawn once, kept from others."""

import base64
import stat
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from msgspec.structs import replace

from aggregator.signing import open_command_key
from shared.errors import SettingsError
from shared.messages import RESEND_RANGES_MAX, Command, Resend, SignedCommand, decode
from shared.topics import GatewayTopic

COMMAND = Command(
    command_id="c-1",
    site="hamburg",
    gateway="gw-1",
    issued_at=datetime(2026, 11, 21, tzinfo=UTC),
    expires_at=datetime(2026, 11, 22, tzinfo=UTC),
    order=Resend(stream_id="s", ranges=[(1, 2)], store_epoch="e"),
)


def test_a_key_is_drawn_once_and_only_its_owner_may_read_it(tmp_path):
    path = tmp_path / "new" / "command.key"
    public = open_command_key(path).public
    assert open_command_key(path).public == public
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["command.key"]


def test_a_signed_command_is_verified_by_the_public_key(tmp_path):
    key = open_command_key(tmp_path / "command.key")
    signed = decode(key.sign(COMMAND), SignedCommand)
    Ed25519PublicKey.from_public_bytes(base64.b64decode(key.public)).verify(signed.signature, signed.command)
    assert decode(signed.command, Command) == COMMAND


def test_p10_the_largest_command_fits_a_packet_of_4_kib(tmp_path):
    most = 2**63 - 1
    order = Resend(stream_id="s" * 64, ranges=[(most, most)] * RESEND_RANGES_MAX, store_epoch="e" * 64)
    names = {"command_id": "c" * 64, "site": "s" * 64, "gateway": "g" * 64}
    key = open_command_key(tmp_path / "command.key")
    topic = GatewayTopic("s" * 64, "g" * 64, "command")
    assert len(key.sign(replace(COMMAND, order=order, **names))) + len(str(topic)) + 10 < 4096


def test_a_file_that_holds_no_key_is_a_setting_to_correct(tmp_path):
    (tmp_path / "command.key").write_text("secret")
    with pytest.raises(SettingsError, match="holds no private key in PEM format"):
        open_command_key(tmp_path / "command.key")


def test_a_key_of_another_kind_is_refused(tmp_path):
    pem = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "command.key").write_bytes(pem)
    with pytest.raises(SettingsError, match="must be Ed25519"):
        open_command_key(tmp_path / "command.key")


def test_a_place_that_cannot_be_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="command_key_file"):
        open_command_key(tmp_path / "file" / "command.key")
