import numpy as np
import pytest

from shared.cmapss import CHANNELS
from shared.manifest import read
from shared.predictor import find_bundle
from simulators.engine_model import SimulatedEngine, frozen_constants
from simulators.hardware.flight import SHORTEST_FLIGHT_S, Profile

SETTINGS = ("altitude", "Mach", "TRA")
SENSORS = [column for column, name in enumerate(CHANNELS) if name not in SETTINGS]
CALM = [0.0] * len(CHANNELS)


@pytest.fixture(params=["FD001", "FD002"])
def rows(request):
    """Rows of an engine over its life, with the noise of its channels."""
    engine = SimulatedEngine("E-1", 3, subset=request.param)
    return [row.values for row in engine.rows()][::10], frozen_constants(request.param).conditions[-1].noise


@pytest.mark.parametrize("flight_s", [SHORTEST_FLIGHT_S, 61, 240])
def test_the_median_of_every_channel_is_the_row_of_the_model(rows, flight_s):
    values, noise = rows
    generator = np.random.default_rng(1)
    for row in values:
        flight = Profile(flight_s, noise).fly(row, generator)
        assert flight.values.shape == (flight_s, len(CHANNELS))
        for samples in (flight.values, flight.values[flight.cruise]):
            assert np.allclose(np.median(samples, axis=0), row, rtol=1e-12, atol=1e-9)


def test_so_is_the_mean_of_every_sensor(rows):
    values, noise = rows
    flight = Profile(100, noise).fly(values[0], np.random.default_rng(1))
    for samples in (flight.values, flight.values[flight.cruise]):
        assert np.allclose(samples.mean(axis=0)[SENSORS], np.array(values[0])[SENSORS], rtol=1e-12)


def test_samples_of_the_cruise_are_noisy_and_those_of_climb_and_descent_far_away(rows):
    values, noise = rows
    flight = Profile(1000, noise).fly(values[0], np.random.default_rng(1))
    assert np.allclose(flight.values[flight.cruise].std(axis=0)[SENSORS], np.array(noise)[SENSORS], rtol=0.2)
    heat = flight.values[:, CHANNELS.index("T30")]
    assert heat[:200].mean() > 1.01 * heat[flight.cruise].mean() > 1.02 * heat[-200:].mean()


def test_every_sample_is_within_the_ranges_of_the_manifest(rows):
    values, noise = rows
    channels = {channel.name: channel for channel in read(find_bundle("turbofan")).channels}
    low, high = (np.array([getattr(channels[name], side) for name in CHANNELS]) for side in ("minimum", "maximum"))
    generator = np.random.default_rng(1)
    for row in values:
        flight = Profile(50, noise).fly(row, generator).values
        assert np.all((low <= flight) & (flight <= high))


def test_an_engine_climbs_from_the_ground_comes_back_and_goes_idle():
    row = next(SimulatedEngine("E-1", 3, subset="FD002").rows()).values
    flight = Profile(100, CALM).fly(row, np.random.default_rng(1)).values / np.array(row)
    for name in ("altitude", "Mach"):
        climb = flight[:, CHANNELS.index(name)]
        assert climb[0] < 0.01
        assert climb[-1] < 0.01
        assert np.all(np.diff(climb[:20]) > 0)
    assert flight[-1, CHANNELS.index("TRA")] == pytest.approx(0.4)
