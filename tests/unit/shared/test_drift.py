import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.drift import Drift
from shared.errors import BundleError
from shared.features import Features, feature_names
from shared.manifest import DriftSpec, FeatureSpec, Regime

CHANNELS = 6
NAMES = ["T24", "T30", "T50", "P30", "Nc", "BPR"]
ALPHA, CLIP, LIMIT = 0.2, 8.0, 2.0
# Wear moves all channels, each by its own weight; the rest is noise of sd 1, in z-scores of sd sqrt(weight² + 1).
WEIGHT = np.array([1.0, 2.0, -1.5, 3.0, 0.5, -2.5])
SD = np.sqrt(WEIGHT**2 + 1)
MEAN = np.arange(CHANNELS) * 100.0


def features(regimes):
    parts = {
        "version": 2,
        "channels": NAMES,
        "regime_channel": "altitude",
        "regimes": regimes,
        "regime_tolerance": 1.0,
        "z_clip": 6.0,
        "ewma_alpha": 0.1,
        "window_rows": 8,
        "mean_rows": [4],
        "lag_rows": 4,
        "slope_rows": [],
        "baseline_rows": 5,
        "latest_baseline_start": 3,
        "health": [],
        "clip": 9.0,
    }
    width = len(feature_names(FeatureSpec(**parts, center=[], scale=[])))
    return FeatureSpec(**parts, center=[0.0] * width, scale=[1.0] * width)


@pytest.fixture(scope="module")
def spec():
    """Channels as wear and noise make them, in two conditions; in the second everything is twice as large."""
    covariance = (np.outer(WEIGHT, WEIGHT) + np.eye(CHANNELS)) / np.outer(SD, SD)
    inverse = np.linalg.inv(covariance).tolist()
    lower = [row[: place + 1] for place, row in enumerate(inverse)]
    return DriftSpec(version=1, precision=[lower, lower], ewma_alpha=ALPHA, clip=CLIP, limits=[LIMIT] * CHANNELS)


@pytest.fixture(scope="module")
def drift(spec):
    regimes = [
        Regime(nominal=nominal, mean=(factor * MEAN).tolist(), sd=(factor * SD).tolist())
        for nominal, factor in ((20.0, 1.0), (0.0, 2.0))
    ]
    return Drift(features(regimes), spec)


def rows(count, seed=0, wear=1.0):
    """Healthy rows whose wear grows from 0, in units of its sd over all engines."""
    generator = np.random.default_rng(seed)
    grown = wear * np.linspace(-1.5, 1.5, count)
    return MEAN + np.outer(grown, WEIGHT) + generator.normal(size=(count, CHANNELS))


def found(drift, values, regimes=None, smoothed=None):
    """Which channels drift after each row, shape (rows, channels)."""
    smoothed = np.zeros(CHANNELS) if smoothed is None else smoothed
    regimes = regimes if regimes is not None else np.zeros(len(values), int)
    return np.array([drift.step(smoothed, regime, row) for regime, row in zip(regimes, values, strict=True)])


def test_wear_that_moves_all_channels_is_no_drift(drift):
    assert not found(drift, rows(1000)).any()


@pytest.mark.parametrize("column", range(CHANNELS))
@pytest.mark.parametrize("rate", [1.0, -5.0])
def test_a_channel_that_wanders_off_alone_is_named_and_no_other(drift, column, rate):
    values = rows(200)
    values[100:, column] += rate * np.arange(1, 101)
    flags = found(drift, values)
    assert not flags[:100].any()
    assert not np.delete(flags, column, axis=1).any()
    assert flags[110:, column].all()


@pytest.mark.parametrize("column", range(CHANNELS))
def test_a_drift_is_over_some_rows_after_it_has_ended_however_far_it_went(drift, column):
    values = rows(120)
    values[50:80, column] += 1000.0
    flags = found(drift, values)
    assert flags[52:80, column].all()
    assert not flags[90:].any()
    assert not np.delete(flags, column, axis=1).any()


def test_one_wild_row_alone_is_no_drift(drift):
    values = rows(100)
    values[50, 3] += 500.0
    assert not found(drift, values).any()


def test_two_channels_that_drift_are_both_found(drift):
    values = rows(120)
    values[50:, 1] += 3.0 * np.arange(1, 71)
    values[60:, 4] -= 3.0 * np.arange(1, 61)
    flags = found(drift, values)
    assert set(np.flatnonzero(flags[75:].all(axis=0))) == {1, 4}
    assert not np.delete(flags, [1, 4], axis=1).any()


def test_a_missing_channel_is_neither_judged_nor_missed_by_the_others(drift):
    values = rows(120)
    values[:, 2] = np.nan
    values[60:, 5] += 3.0 * np.arange(1, 61)
    flags = found(drift, values)
    assert not flags[:, :5].any()
    assert flags[65:, 5].all()


def test_what_a_channel_departed_is_forgotten_while_it_is_missing(drift):
    values = rows(80)
    values[20:40, 3] += 50.0
    values[40:60, 3] = np.nan
    assert not found(drift, values)[60:].any()


def test_a_row_most_of_which_is_far_off_says_nothing_of_a_single_channel(drift):
    """It is of another operating condition than it says."""
    smoothed = np.zeros(CHANNELS)
    assert not found(drift, rows(20) * 3 + 1000, smoothed=smoothed).any()
    assert not smoothed.any()


def test_each_operating_condition_has_numbers_of_its_own(drift):
    values, regimes = rows(200), np.arange(200) % 2
    values[regimes == 1] *= 2
    assert not found(drift, values, regimes).any()
    assert found(drift, values, 1 - regimes).sum() == 0
    values[100:, 0] += 5.0 * np.arange(1, 101)
    flags = found(drift, values, regimes)
    assert flags[110:, 0].all()
    assert not flags[:, 1:].any()


def test_a_channel_whose_limit_is_at_the_clip_is_never_named(spec):
    regime = Regime(nominal=0.0, mean=MEAN.tolist(), sd=SD.tolist())
    unjudged = msgspec.structs.replace(spec, precision=spec.precision[:1], limits=[CLIP, *[LIMIT] * (CHANNELS - 1)])
    values = rows(100)
    values[50:, 0] += 20.0
    assert not found(Drift(features([regime]), unjudged), values)[:, 0].any()


def test_beside_a_channel_that_is_not_judged_and_far_off_another_is_found(spec):
    regime = Regime(nominal=0.0, mean=MEAN.tolist(), sd=SD.tolist())
    unjudged = msgspec.structs.replace(spec, precision=spec.precision[:1], limits=[CLIP, *[LIMIT] * (CHANNELS - 1)])
    values = rows(100)
    values[:, 0] += 15.0
    values[50:, 3] += 50.0
    flags = found(Drift(features([regime]), unjudged), values)
    assert flags[60:, 3].all()


@given(
    departures=st.lists(st.floats(-3, 3), min_size=CHANNELS, max_size=CHANNELS),
    smoothed=st.lists(st.floats(-CLIP, CLIP), min_size=CHANNELS, max_size=CHANNELS),
    gone=st.sets(st.integers(0, CHANNELS - 1), max_size=CHANNELS),
    far=st.dictionaries(st.integers(0, CHANNELS - 1), st.floats(-1e6, 1e6), max_size=CHANNELS),
)
def test_whatever_a_row_shows_the_state_stays_finite_and_within_the_clip(drift, departures, smoothed, gone, far):
    values = MEAN + np.array(departures)
    for column, value in far.items():
        values[column] += value
    values[list(gone)] = np.nan
    state = np.array(smoothed)
    flags = drift.step(state, 0, values)
    assert (np.abs(state) <= CLIP + 1e-9).all()
    assert (flags == (np.abs(state) > LIMIT)).all()


def test_a_version_that_this_program_does_not_know_is_refused(spec):
    regime = Regime(nominal=0.0, mean=MEAN.tolist(), sd=SD.tolist())
    later = msgspec.structs.replace(spec, version=2, precision=spec.precision[:1])
    with pytest.raises(BundleError, match="drift version 2; this program knows version 1"):
        Drift(features([regime]), later)


@pytest.mark.parametrize(("setting", "regime"), [(20.3, 0), (0.0, 1), (-0.9, 1), (10.0, None), (np.nan, None)])
def test_regimes_are_numbered_as_the_specification_lists_them(setting, regime):
    listed = [Regime(nominal=nominal, mean=MEAN.tolist(), sd=SD.tolist()) for nominal in (20.0, 0.0)]
    assert Features(features(listed)).regime(setting) == regime
