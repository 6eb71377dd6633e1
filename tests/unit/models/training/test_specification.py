import numpy as np
import pytest

from models.reading import Life
from models.training.specification import channel_ranges, fit_specification, life_features
from shared.features import Features, feature_names
from simulators.engine_model import SimulatedEngine


@pytest.fixture(scope="module")
def lives():
    engines = [SimulatedEngine(f"S{unit}", 0) for unit in range(12)]
    return [Life(unit, np.array([row.values for row in engine.rows()])) for unit, engine in enumerate(engines)]


def test_features_of_the_training_engines_are_standardised_and_the_age_mask_is_not(lives):
    spec = fit_specification(lives, 125.0)
    rows = np.concatenate([life_features(Features(spec), life) for life in lives])
    np.testing.assert_allclose(rows[:, :-1].mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose(rows[:, :-1].std(axis=0), 1, atol=0.15)
    assert set(rows[:, -1]) == {1.0}


def test_the_direction_of_wear_follows_the_remaining_life(lives):
    spec = fit_specification(lives, 125.0)
    column = feature_names(spec).index("health0.ewma")
    health = np.concatenate([life_features(Features(spec), life)[:, column] for life in lives])
    rul = np.concatenate([np.minimum(life.rul_cycles, 125) for life in lives])
    assert np.corrcoef(health, rul)[0, 1] > 0.75


def test_valid_ranges_hold_all_training_rows_and_leave_out_another_condition(lives):
    ranges = {channel.name: channel for channel in channel_ranges(lives)}
    values = lives[0].values
    assert all(
        channel.minimum <= values[:, column].min() <= values[:, column].max() <= channel.maximum
        for column, channel in enumerate(ranges.values())
    )
    assert ranges["altitude"].maximum < 10
    assert ranges["T2"].minimum > 445  # °R at 42 kft
