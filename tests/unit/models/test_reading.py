import gzip

import numpy as np
import pytest

from models.reading import Life, read_lives, text_sha256
from shared.errors import SpoolwatchError


def test_a_life_ends_with_its_last_row():
    life = Life(1, np.zeros((3, 24)))
    assert (life.cycles.tolist(), life.rul_cycles.tolist()) == ([1, 2, 3], [2, 1, 0])


def test_a_missing_file_says_how_to_name_the_folder(tmp_path):
    with pytest.raises(SpoolwatchError, match=r"train\.txt is missing: .*make train DATA=FOLDER"):
        read_lives(tmp_path / "train.txt")


def test_the_hash_is_of_the_uncompressed_text(tmp_path):
    (tmp_path / "a.txt").write_text("1 2\n")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"1 2\n"))
    assert text_sha256(tmp_path / "a.txt") == text_sha256(tmp_path / "a.txt.gz")
