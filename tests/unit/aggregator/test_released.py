"""The centre finds a released model by its exact name and version, whatever a gateway calls its own."""

from pathlib import Path

import pytest

from aggregator.released import features_of
from shared import manifest
from shared.bundle import find_bundle

RELEASED = manifest.read(find_bundle("turbofan"))


def test_a_released_model_is_found() -> None:
    assert features_of(RELEASED.name, RELEASED.version, RELEASED.sha256) is not None


@pytest.mark.parametrize(("name", "version"), [("a" * 5000, "1"), ("a/" * 2500, "1"), ("\0/", "1"), ("turbofan", "")])
def test_a_name_that_nothing_released_has_is_not_installed(name: str, version: str) -> None:
    assert features_of(name, version, RELEASED.sha256) is None


def test_p8_a_name_is_no_path(tmp_path: Path) -> None:
    elsewhere = tmp_path / "model@1"
    elsewhere.mkdir()
    (elsewhere / manifest.FILE_NAME).write_bytes((find_bundle("turbofan") / manifest.FILE_NAME).read_bytes())
    assert features_of(str(tmp_path / "model"), "1", RELEASED.sha256) is None
