from datetime import UTC, datetime

import numpy as np
import pytest

from shared.bundle import read_bundle
from shared.cmapss import CHANNELS, SUBSETS, UNITS
from shared.predictor import find_bundle, load_bundle
from shared.rows import SensorRow
from simulators.engine_model import SimulatedEngine

ENGINES, CUTS_PER_ENGINE, EARLIEST_CUT_CYCLE = 100, 25, 20
NOON = datetime(2026, 1, 1, tzinfo=UTC)


def life_of(predictor, engine):
    """Columns mean, q05, q50, q95 and capped true RUL at every cycle of one engine, through the agent's own path."""
    state = predictor.new_state()
    life = []
    for row in engine.rows():
        channels = dict(zip(CHANNELS, row.values, strict=True))
        rul = predictor.step(state, SensorRow(engine.serial, row.cycle, NOON, channels)).outcome.rul_cycles
        life.append((rul.mean, rul.q05, rul.q50, rul.q95, min(row.rul_cycles, predictor.manifest.cap_cycles)))
    return np.array(life)


@pytest.fixture(scope="module")
def manifest():
    return read_bundle(find_bundle("turbofan")).manifest


@pytest.fixture(scope="module")
def predictor():
    return load_bundle(find_bundle("turbofan"))


@pytest.fixture(scope="module", params=SUBSETS)
def subset(request):
    """The type of the simulated engines."""
    return request.param


@pytest.fixture(scope="module")
def lives(predictor, subset):
    """The released model on simulated engines of the frozen constants, which training never reads.

    It has trained on engines of the same simulator, but of constants and serials of their own.
    """
    return [life_of(predictor, SimulatedEngine(f"E{number:03}", 0, subset=subset)) for number in range(ENGINES)]


def predicted(lives, low, high):
    """Those rows, as columns, whose predicted median is in a range."""
    rows = np.concatenate(lives)
    return rows[(low <= rows[:, 2]) & (rows[:, 2] < high)].T


def test_on_simulated_engines_the_error_is_within_a_quarter_of_that_on_held_out_engines_of_their_type(
    lives, manifest, subset
):
    generator = np.random.default_rng(0)
    # Cut at random cycles, as the protocol cuts held-out engines.
    cuts = [life[generator.integers(EARLIEST_CUT_CYCLE - 1, len(life) - 1, CUTS_PER_ENGINE)] for life in lives]
    mean, *_, label = np.concatenate(cuts).T
    error = np.clip(mean, 0, manifest.cap_cycles) - label
    held_out = manifest.figures[f"{subset} C125"]["rmse"]
    assert 0.75 * held_out <= np.sqrt(np.mean(error**2)) <= 1.25 * held_out


@pytest.mark.parametrize(("low", "high"), [(-np.inf, 20), (20, 50)])
def test_near_failure_about_half_of_the_simulated_engines_fail_before_the_median(lives, low, high):
    _, _, q50, _, label = predicted(lives, low, high)
    assert 0.35 <= np.mean(label <= q50) <= 0.65


def test_near_failure_the_interval_does_not_fall_onto_the_median(lives):
    _, q05, q50, q95, _ = predicted(lives, 0, 50)
    assert min(np.min(q50 - q05), np.min(q95 - q50)) > 0
    assert np.quantile(q50 - q05, 0.02) >= 1
    assert np.quantile(q95 - q50, 0.02) >= 1
    assert np.quantile(q95 - q05, 0.02) >= 3


@pytest.mark.parametrize("age_known", [True, False])
def test_a_higher_median_stays_a_higher_one_after_calibration(manifest, age_known):
    calibration = manifest.calibration_for(age_known=age_known)
    assert np.all(np.diff(np.add(calibration.nodes, calibration.median)) > 0)


def test_the_manifest_names_the_channels_of_the_data_set_with_their_units(manifest):
    assert {channel.name: channel.unit for channel in manifest.channels} == UNITS


def test_the_bundle_is_small_and_its_card_tells_the_figure_of_its_manifest():
    bundle = read_bundle(find_bundle("turbofan"))
    card = (bundle.path / "card.md").read_text()
    assert len(bundle.model) <= 100_000
    for name in SUBSETS:
        assert f"| {name}: int8, tflite-runtime | {bundle.manifest.figures[f'{name} C125']['rmse']:.3f}" in card
