"""What has moved since an engine's first rows, in the eyes of the released model."""

import numpy as np
import pytest

from aggregator.fleet.movement import LATEST_ROWS, Baseline, Row, movements
from shared import manifest
from shared.bundle import released_bundles
from shared.features import Features


@pytest.fixture(scope="module")
def features():
    return Features(manifest.read(next(reversed(released_bundles().values()))).features)


@pytest.fixture
def row(features):
    """Rows of an engine that is as usual but for what is said, in standard deviations, in some operating condition."""
    spec = features.spec

    def make(cycle, off=None, regime=0):
        usual = spec.regimes[regime]
        off = off or {}
        parts = zip(spec.channels, usual.mean, usual.sd, strict=True)
        channels = {name: mean + off.get(name, 0.0) * sd for name, mean, sd in parts}
        return Row(cycle, channels | {spec.regime_channel: usual.nominal})

    return make


def test_a_distance_is_told_in_standard_deviations_whatever_the_operating_condition(features, row):
    first = [row(cycle, {"T24": 0.5}) for cycle in range(1, features.spec.baseline_rows + 1)]
    baseline = Baseline.of(features, first)
    for regime in range(len(features.spec.regimes)):
        distances = baseline.distances(row(200, {"T24": 3.0}, regime).channels)
        assert distances["T24"] == pytest.approx(2.5, abs=1e-4)
        assert distances["P30"] == pytest.approx(0.0, abs=1e-4)


def test_nothing_is_told_of_a_row_in_no_operating_condition_that_is_known(features, row):
    baseline = Baseline.of(features, [row(1)])
    channels = dict(row(2).channels)
    assert baseline.distances(channels | {features.spec.regime_channel: 77.7}) == {}
    del channels[features.spec.regime_channel]
    assert baseline.distances(channels) == {}


def test_a_channel_that_a_row_or_the_baseline_lacks_has_no_distance(features, row):
    first = dict(row(1).channels)
    del first["T24"]
    baseline = Baseline.of(features, [Row(1, first)])
    distances = baseline.distances(row(2).channels | {"P30": None})
    assert not {"T24", "P30"} & distances.keys()
    assert len(distances) == len(features.spec.channels) - 2


def test_what_moved_farthest_comes_first(features, row):
    first = [row(cycle) for cycle in range(1, features.spec.baseline_rows + 1)]
    latest = [row(200 + cycle, {"T24": 1.0, "P30": -4.0}) for cycle in range(LATEST_ROWS)]
    moved = movements(Baseline.of(features, first), latest)
    assert [one.channel for one in moved[:2]] == ["P30", "T24"]
    assert moved[0].moved == pytest.approx(-4.0, abs=0.1)
    assert np.allclose([one.moved for one in moved[2:]], 0.0, atol=1e-4)
