import gzip

import numpy as np
import pytest

from models.training.lives import CUTS_PER_ENGINE, EARLIEST_CUT_CYCLE, Life, cut_rows, folds, read_lives, text_sha256
from shared.errors import SpoolwatchError


def test_every_engine_is_in_exactly_one_fold_and_the_same_one_each_time():
    dealt = folds(100, 5, seed=0)
    assert sorted(position for fold in dealt for position in fold) == list(range(100))
    assert dealt == folds(100, 5, seed=0) != folds(100, 5, seed=1)


def test_cuts_leave_some_history_and_some_life():
    life = Life(7, np.zeros((128, 24)))
    cuts = cut_rows(life, seed=0)
    assert len(cuts) == CUTS_PER_ENGINE
    assert life.cycles[cuts].min() >= EARLIEST_CUT_CYCLE
    assert life.rul_cycles[cuts].min() >= 1


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
