import numpy as np
import pytest

from models.training import recipe
from models.training.batches import batches, disturbed, range_sample
from models.training.specification import fit_specification
from shared.features import MARKS, Features, feature_names

ROWS = 4000
AGE, AGE_KNOWN, BASELINE_KNOWN = -3, -2, -1


@pytest.fixture(scope="module")
def features(subsets):
    return Features(fit_specification(subsets, recipe.CAP_CYCLES))


@pytest.fixture(scope="module")
def rows(features):
    """Whole rows, no two alike, all of them marked as of known age and first rows."""
    width = len(feature_names(features.spec))
    values = np.random.default_rng(0).uniform(1, 2, (ROWS, width)).astype(np.float32)
    values[:, -len(MARKS) :] = 1
    return values


def shares(features, batch):
    """The share of rows without their age, and that of rows without their first rows."""
    ageless, forgetful = batch[:, AGE_KNOWN] == 0, batch[:, BASELINE_KNOWN] == 0
    np.testing.assert_array_equal(batch[ageless], features.without_age(batch[ageless]))
    np.testing.assert_array_equal(batch[~ageless], features.with_age(batch[~ageless]))
    np.testing.assert_array_equal(batch[forgetful], features.forget_baseline(batch[forgetful]))
    return ageless.mean(), forgetful.mean()


def test_an_epoch_shows_each_row_once_in_an_order_of_its_own():
    generator = np.random.default_rng(0)
    first, second = (np.concatenate(list(batches(1300, generator))) for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(1300))
    assert first.tolist() != second.tolist()
    assert [len(batch) for batch in batches(1300, generator)] == [512, 512, 276]


def test_some_rows_lose_their_age_and_some_their_first_rows_and_all_others_are_shown_as_they_are(features, rows):
    batch = disturbed(features, rows, np.random.default_rng(0), 0.0)
    ageless, forgetful = shares(features, batch)
    assert ageless == pytest.approx(recipe.AGE_DROPOUT, abs=0.03)
    assert forgetful == pytest.approx(recipe.BASELINE_DROPOUT, abs=0.015)
    whole = (batch[:, AGE_KNOWN] == 1) & (batch[:, BASELINE_KNOWN] == 1)
    np.testing.assert_array_equal(batch[whole], features.with_age(rows[whole]))


def test_noise_is_added_to_what_is_shown_but_to_no_mark_and_not_to_the_rows_themselves(features, rows):
    before = rows.copy()
    noise = disturbed(features, rows, np.random.default_rng(0), 0.1) - disturbed(
        features, rows, np.random.default_rng(0), 0.0
    )
    np.testing.assert_array_equal(rows, before)
    assert (noise[:, AGE_KNOWN:] == 0).all()
    assert noise[:, 0].std() == pytest.approx(0.1, rel=0.05)
    hidden = disturbed(features, rows, np.random.default_rng(0), 0.1)
    shares(features, hidden)


def test_ranges_come_of_rows_with_the_age_and_without(features, rows):
    sample = range_sample(features, rows, 0)
    assert len(sample) == recipe.CALIBRATION_ROWS
    assert shares(features, sample) == (pytest.approx(0.2), 0)
    np.testing.assert_array_equal(sample, range_sample(features, rows, 0))
