import numpy as np
import pytest

from models.training import recipe
from models.training.faults import CHANNELS_OUT, FAULTS, LONGEST_GAP_CYCLES
from models.training.specification import COLUMNS, LATEST_BASELINE_START
from shared.cmapss import CHANNELS

STUCK_ROWS = np.full(len(CHANNELS), 4)


def history(rows=120):
    return np.arange(1, rows + 1), np.random.default_rng(0).normal(size=(rows, len(CHANNELS)))


def done(fault, rows=120, seed=0):
    return FAULTS[fault](history(rows), np.random.default_rng(seed), STUCK_ROWS)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("rows", [20, 60, 300])
def test_every_fault_keeps_the_end_and_leaves_the_history_itself_alone(fault, rows):
    whole = history(rows)
    before = whole[1].copy()
    for seed in range(30):
        cycles, values = FAULTS[fault](whole, np.random.default_rng(seed), STUCK_ROWS)
        assert len(cycles) == len(values) >= 1
        assert cycles[-1] == rows
        assert (np.diff(cycles) > 0).all()
    np.testing.assert_array_equal(whole[1], before)


@pytest.mark.parametrize(("count", "fault"), list(enumerate(CHANNELS_OUT, start=1)))
def test_so_many_feature_channels_are_out_at_the_end(count, fault):
    _, values = done(fault)
    out = np.flatnonzero(np.isnan(values[-1]))
    assert len(out) == count
    assert set(out) <= set(COLUMNS)


def test_a_stuck_channel_repeats_itself_until_it_is_found_out():
    _, values = done("a channel stuck")
    column = int(np.flatnonzero(np.isnan(values[-1]))[0])
    gone = int(np.isnan(values[:, column]).argmax())
    assert len(set(values[gone - 3 : gone, column])) == 1
    assert values[gone - 4, column] != values[gone - 3, column]


def test_cycles_are_skipped_in_one_place():
    for seed in range(30):
        steps = np.diff(done("cycles skipped", seed=seed)[0])
        assert (steps > 1).sum() == 1
        assert steps.max() <= LONGEST_GAP_CYCLES + 1


def test_a_late_start_has_no_youth_but_rows_enough():
    for seed in range(30):
        cycles, _ = done("starts late", seed=seed)
        assert cycles[0] > LATEST_BASELINE_START
        assert len(cycles) >= recipe.SHORT_HISTORY_ROWS
