"""The folder of a play: an earlier play's files go, anybody else's stay."""

import pytest

from shared.errors import SpoolwatchError
from simulators.folder import PlayFolder


def test_an_earlier_play_is_cleared_away(tmp_path):
    folder = PlayFolder(tmp_path / "play")
    with folder.claimed():
        folder.truth.write_text("old")
        (folder.agents / "gw-1").mkdir()
        (folder.agents / "gw-1" / "outbox.db").write_text("old")

    with folder.claimed():
        assert not folder.truth.exists()
        assert list(folder.agents.iterdir()) == []
        assert folder.rows("gw-1").parent.is_dir()


def test_the_files_stay_when_the_play_is_over(tmp_path):
    folder = PlayFolder(tmp_path / "play")
    with folder.claimed():
        folder.truth.write_text("new")

    assert folder.truth.read_text() == "new"


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")

    with pytest.raises(SpoolwatchError, match="not empty and not from an earlier play"), PlayFolder(tmp_path).claimed():
        pass

    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_empty_folder_may_be_used(tmp_path):
    with PlayFolder(tmp_path).claimed():
        assert PlayFolder(tmp_path).logs.is_dir()


def test_a_link_into_another_folder_is_removed_but_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").touch()
    folder = PlayFolder(tmp_path / "play")
    with folder.claimed():
        (folder.path / "link").symlink_to(tmp_path / "elsewhere")

    with folder.claimed():
        assert not (folder.path / "link").exists()
    assert (tmp_path / "elsewhere" / "file").exists()


def test_two_plays_do_not_share_a_folder(tmp_path):
    folder = PlayFolder(tmp_path / "play")
    with folder.claimed():
        folder.truth.write_text("first")
        with pytest.raises(SpoolwatchError, match="another play is using"), folder.claimed():
            pass

        assert folder.truth.read_text() == "first"


def test_a_path_that_cannot_be_a_folder_is_named(tmp_path):
    (tmp_path / "file").touch()

    with (
        pytest.raises(SpoolwatchError, match="cannot use "),
        PlayFolder(tmp_path / "file" / "play").claimed(),
    ):
        pass
