import numpy as np
import pytest

from models.training.drift import fit_drift
from models.training.specification import ALTITUDE, COLUMNS, FEATURE_CHANNELS, fit_specification
from shared.drift import Drift
from shared.features import Features


@pytest.fixture(scope="module")
def spec(subsets):
    return fit_specification(subsets, 125.0)


@pytest.fixture(scope="module")
def fitted(subsets, spec):
    return fit_drift(subsets, spec)


def found(spec, fitted, values):
    """Which feature channels drift after each row of a life, shape (rows, channels)."""
    drift, regime_of, smoothed = Drift(spec, fitted), Features(spec).regime, np.zeros(len(COLUMNS))
    return np.array([drift.step(smoothed, regime_of(row[ALTITUDE]), row[COLUMNS]) for row in values])


def test_no_engine_that_it_was_fitted_to_is_found_to_drift(subsets, spec, fitted):
    for part in subsets.values():
        for life in part:
            assert not found(spec, fitted, life.values).any()


@pytest.mark.parametrize("channel", ["T50", "Ps30", "BPR"])
@pytest.mark.parametrize("subset", ["FD001", "FD002"])
def test_a_sensor_that_drifts_is_named(subsets, spec, fitted, subset, channel):
    values = subsets[subset][3].values.copy()
    place = FEATURE_CHANNELS.index(channel)
    noise = np.diff(values[::2, COLUMNS[place]]).std() / np.sqrt(2)
    values[80:, COLUMNS[place]] += 2 * noise * np.arange(1, len(values) - 79)
    flags = found(spec, fitted, values)
    assert not flags[:80].any()
    assert flags[95:, place].all()


def test_the_same_engines_give_the_same_numbers(subsets, spec, fitted):
    assert fit_drift(subsets, spec) == fitted


def test_a_channel_that_never_changes_has_numbers_all_the_same(subsets, spec, fitted):
    values = np.concatenate([life.values for life in subsets["FD001"]])
    still = [place for place, column in enumerate(COLUMNS) if np.ptp(values[:, column]) == 0]
    assert still
    assert all(fitted.precision[0][place][-1] == pytest.approx(1) for place in still)
