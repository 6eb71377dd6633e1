import numpy as np
import pytest

from models.training import recipe
from models.training.faults import (
    CHANNELS_OUT,
    FASTEST_DRIFT,
    FAULTS,
    LONGEST_BACK_ROWS,
    LONGEST_GAP_CYCLES,
    SLOWEST_DRIFT,
)
from models.training.specification import ALTITUDE, COLUMNS, LATEST_BASELINE_START
from shared.cmapss import CHANNELS


def history(rows=120):
    return np.arange(1, rows + 1), np.random.default_rng(0).normal(size=(rows, len(CHANNELS)))


def done(fault, rows=120, seed=0):
    return FAULTS[fault](history(rows), np.random.default_rng(seed))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("rows", [20, 60, 300])
def test_every_fault_keeps_the_end_and_leaves_the_history_itself_alone(fault, rows):
    whole = history(rows)
    before = whole[1].copy()
    for seed in range(30):
        faulty = FAULTS[fault](whole, np.random.default_rng(seed))
        if faulty is None:
            assert rows == 20
            continue
        cycles, values = faulty
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


def test_a_stuck_channel_shows_one_value_to_the_end():
    for seed in range(30):
        _, values = done("a channel stuck", seed=seed)
        changed = values != history()[1]
        columns = np.flatnonzero(changed.any(axis=0))
        assert set(columns) <= set(COLUMNS)
        # The last row alone may be the one that repeats itself.
        for column in columns:
            first = int(changed[:, column].argmax()) - 1
            assert len(set(values[first:, column])) == 1


def test_a_channel_that_drifts_is_farther_off_with_each_cycle_to_the_end():
    for seed in range(30):
        cycles, values = done("a channel drifts", seed=seed)
        off = values - history()[1]
        (column,) = np.flatnonzero(off.any(axis=0))
        first = int(off[:, column].astype(bool).argmax())
        assert column in COLUMNS
        # The noise of the history has an sd of 1.
        assert SLOWEST_DRIFT / 1.3 < abs(off[first, column]) < FASTEST_DRIFT * 1.3
        np.testing.assert_allclose(off[first:, column], off[first, column] * (cycles[first:] - cycles[first] + 1))


def test_a_drift_is_measured_by_noise_and_not_by_the_operating_condition():
    cycles, values = history()
    high = np.arange(len(values)) % 2 == 1
    values[high] += 1000.0
    values[:, ALTITUDE] = 20.0 * high
    _, drifting = FAULTS["a channel drifts"]((cycles, values), np.random.default_rng(0))
    assert 0 < np.abs(np.diff((drifting - values).sum(axis=1))).max() < FASTEST_DRIFT * 1.3


def test_a_channel_that_is_back_was_away_and_has_values_in_its_last_rows():
    for seed in range(30):
        _, values = done("a channel back", seed=seed)
        (column,) = np.flatnonzero(np.isnan(values).any(axis=0))
        away = np.flatnonzero(np.isnan(values[:, column]))
        assert column in COLUMNS
        assert (np.diff(away) == 1).all()
        assert len(values) - LONGEST_BACK_ROWS <= away[-1] + 1 < len(values)


@pytest.mark.parametrize("rows", [20, 120])
def test_cycles_are_skipped_in_one_place(rows):
    for seed in range(100):
        steps = np.diff(done("cycles skipped", rows, seed)[0])
        assert (steps > 1).sum() == 1
        assert steps.max() <= LONGEST_GAP_CYCLES + 1


def test_a_late_start_has_no_youth_but_rows_enough():
    for seed in range(30):
        cycles, _ = done("starts late", seed=seed)
        assert cycles[0] > LATEST_BASELINE_START
        assert len(cycles) >= recipe.SHORT_HISTORY_ROWS
    assert (
        done("starts late", rows=LATEST_BASELINE_START + recipe.SHORT_HISTORY_ROWS)[0][0] == LATEST_BASELINE_START + 1
    )
    assert done("starts late", rows=LATEST_BASELINE_START + recipe.SHORT_HISTORY_ROWS - 1) is None


@pytest.mark.parametrize("rows", [20, 120])
def test_a_short_late_start_has_neither_youth_nor_rows_enough(rows):
    lengths = set()
    for seed in range(200):
        cycles, _ = done("starts late, short", rows, seed)
        assert cycles[0] > LATEST_BASELINE_START
        lengths.add(len(cycles))
    assert lengths == set(range(1, min(recipe.SHORT_HISTORY_ROWS, rows - LATEST_BASELINE_START + 1)))
