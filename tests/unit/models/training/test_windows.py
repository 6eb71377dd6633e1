import numpy as np
import pytest

from models.reading import Life
from models.training.specification import ALTITUDE
from models.training.windows import CHANNELS, WINDOW_ROWS, fit_z_scores, windows
from shared.cmapss import CHANNELS as COLUMNS


def test_a_window_ends_at_each_row_and_a_short_history_repeats_its_first(subsets):
    life = subsets["FD001"][0]
    found = windows(fit_z_scores("FD001", subsets["FD001"]), life)
    assert found.shape == (len(life.values), WINDOW_ROWS, len(CHANNELS))
    last = found[-1]
    np.testing.assert_array_equal(found[-4, 3:], last[:-3])
    np.testing.assert_array_equal(found[0], np.repeat(found[0, :1], WINDOW_ROWS, axis=0))
    np.testing.assert_array_equal(found[2, :-2], np.repeat(found[0, :1], WINDOW_ROWS - 2, axis=0))


def test_an_engine_with_a_single_row_has_a_window(subsets):
    life = Life(1, subsets["FD001"][0].values[:1])
    assert windows(fit_z_scores("FD001", subsets["FD001"]), life).shape == (1, WINDOW_ROWS, len(CHANNELS))


def test_each_value_is_the_z_score_in_its_own_operating_regime(subsets):
    lives = subsets["FD002"]
    values = np.concatenate([life.values for life in lives])
    life, column = lives[0], COLUMNS.index("Ps30")
    high = values[:, ALTITUDE] > 10
    own = life.values[:, ALTITUDE] > 10
    wanted = np.empty(len(own))
    for regime, rows in ((high, own), (~high, ~own)):
        part = values[regime, column]
        wanted[rows] = (life.values[rows, column] - part.mean()) / part.std()
    found = windows(fit_z_scores("FD002", lives), life)[:, -1, CHANNELS.index("Ps30")]
    assert found == pytest.approx(np.clip(wanted, -6, 6), abs=1e-3)
