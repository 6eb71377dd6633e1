import numpy as np

from models.reading import Life
from models.training.folds import CUTS_PER_ENGINE, EARLIEST_CUT_CYCLE, cut_rows, folds


def test_every_engine_is_in_exactly_one_fold_and_the_same_one_each_time():
    dealt = folds(100, 5, seed=0)
    assert sorted(position for fold in dealt for position in fold) == list(range(100))
    assert dealt == folds(100, 5, seed=0) != folds(100, 5, seed=1)


def test_cuts_leave_some_history_and_some_life():
    life = Life(7, np.zeros((128, 24)))
    cuts = cut_rows(life, "FD001", seed=0)
    assert len(cuts) == CUTS_PER_ENGINE
    assert life.cycles[cuts].min() >= EARLIEST_CUT_CYCLE
    assert life.rul_cycles[cuts].min() >= 1


def test_engines_of_the_same_number_in_two_subsets_are_cut_elsewhere():
    life = Life(7, np.zeros((300, 24)))
    assert cut_rows(life, "FD001", seed=0).tolist() != cut_rows(life, "FD003", seed=0).tolist()
