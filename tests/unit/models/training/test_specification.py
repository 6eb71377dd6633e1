import numpy as np
import pytest

from models.reading import Life
from models.training.specification import channel_ranges, fit_specification, life_features
from shared.cmapss import CHANNELS
from shared.features import MARKS, Features, feature_names


@pytest.fixture(scope="module")
def spec(subsets):
    return fit_specification(subsets, 125.0)


def rows_of(spec, lives):
    return np.concatenate([life_features(Features(spec), life.cycles, life.values) for life in lives])


def test_features_of_the_training_engines_are_standardised_and_the_marks_are_not(spec, subsets):
    rows = rows_of(spec, [life for part in subsets.values() for life in part])
    varying = rows[:, : -len(MARKS)].std(axis=0) > 0
    np.testing.assert_allclose(rows[:, : -len(MARKS)].mean(axis=0), 0, atol=0.06)
    np.testing.assert_allclose(rows[:, : -len(MARKS)].std(axis=0)[varying], 1, atol=0.15)
    assert varying.mean() > 0.85
    assert (rows[:, -len(MARKS) :] == 1).all()


def test_each_operating_condition_that_occurs_is_a_regime_of_its_own(spec, subsets):
    assert [regime.nominal for regime in spec.regimes] == [0.0, 20.0]
    column = spec.channels.index("T50")
    low, high = (regime.mean[column] for regime in spec.regimes)
    assert high == pytest.approx(0.8 * low, rel=0.01)
    alone = fit_specification({"FD001": subsets["FD001"]}, 125.0)
    assert len(alone.regimes) == 1


@pytest.mark.parametrize(("number", "subset"), [(0, "FD001"), (1, "FD002")])
def test_each_subset_has_a_direction_of_wear_that_follows_its_remaining_life(spec, subsets, number, subset):
    column = feature_names(spec).index(f"health{number}.ewma")
    rul = np.concatenate([np.minimum(life.rul_cycles, 125) for life in subsets[subset]])
    assert np.corrcoef(rows_of(spec, subsets[subset])[:, column], rul)[0, 1] > 0.7


def test_valid_ranges_hold_all_training_rows_and_leave_out_another_condition(subsets):
    ranges = {channel.name: channel for channel in channel_ranges({"FD001": subsets["FD001"]})}
    values = subsets["FD001"][0].values
    assert all(
        channel.minimum <= values[:, column].min() <= values[:, column].max() <= channel.maximum
        for column, channel in enumerate(ranges.values())
    )
    assert ranges["altitude"].maximum < 10
    assert ranges["T2"].minimum > 445  # °R at 42 kft


def test_a_channel_is_stuck_after_twice_as_many_equal_values_as_any_engine_ever_showed():
    values = np.random.default_rng(0).normal(size=(100, len(CHANNELS)))
    values[10:13, CHANNELS.index("T24")] = 5.0
    values[20:60, CHANNELS.index("T30")] = 7.0
    rows = {channel.name: channel.stuck_rows for channel in channel_ranges({"FD001": [Life(1, values)]})}
    assert (rows["T24"], rows["T30"]) == (6, 0)
    assert rows["T50"] == 5
