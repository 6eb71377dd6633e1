import hashlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.cmapss import CHANNELS, SUBSETS, cmapss_line, parse_line
from simulators.engine_model import SimulatedEngine, frozen_constants

ALTITUDE = CHANNELS.index("altitude")


def values_of(engine):
    return np.array([row.values for row in engine.rows()])


def fleet(subset, count=100):
    return [values_of(SimulatedEngine(f"A{number}", 0, subset=subset)) for number in range(count)]


def deviation(engine, constants):
    """How far an engine's channels are from the healthy mean of the condition of each row."""
    mean = np.array([condition.mean for condition in constants.conditions])
    flown = np.abs(engine[:, [ALTITUDE]] - mean[:, ALTITUDE]).argmin(axis=1)
    return engine - mean[flown]


def worn_by_mode(subset):
    """The deviations of engines whose compressor wears out, and of those whose fan does: their P30 rises."""
    engines = [deviation(engine, frozen_constants(subset)) for engine in fleet(subset)]
    rises = [engine[-15:, CHANNELS.index("P30")].mean() > 0 for engine in engines]
    return [[engine for engine, fan in zip(engines, rises, strict=True) if fan == mode] for mode in (False, True)]


@pytest.mark.parametrize("subset", SUBSETS)
def test_the_same_serial_and_seed_give_the_same_engine(subset):
    first, second = (list(SimulatedEngine("A1", 7, subset=subset).rows()) for _ in range(2))
    assert first == second


# What a release is judged with must not move: DECISIONS.md, entry 14.
@pytest.mark.parametrize(
    ("subset", "digest"),
    [
        ("FD001", "e4870caa984064f145119f3b8c4e923d9a6aa2d7714aa374c0fe4018bb435f07"),
        ("FD002", "b49b77f2d8c60ca12e4a7f8d244a812cc3e35b281cafd20004d7bbfc488d9b4b"),
        ("FD003", "f1d3161803734be0467b66feea1f762b6a6e3e4741ec0fe932ed6aa5c8672577"),
        ("FD004", "a0c4c2050b9f6f65191299ad018dcecc15118ca6e5d478f5af4bf41bc80bfa40"),
    ],
)
def test_the_frozen_engines_are_still_the_same(subset, digest):
    sha256 = hashlib.sha256()
    for number in range(10):
        for cycle, values, _ in SimulatedEngine(f"E-{number:02}", number % 4, subset=subset).rows():
            sha256.update(cmapss_line(number, cycle, values).encode())
    assert sha256.hexdigest() == digest


def test_another_serial_or_seed_gives_another_engine():
    lives = {SimulatedEngine(*who).life_cycles for who in [("A1", 7), ("A2", 7), ("A1", 8), ("B1", 7)]}
    assert len(lives) > 1


@settings(max_examples=25, deadline=None)
@given(st.text("ABC-_.0123456789", min_size=1, max_size=20), st.integers(0, 2**32), st.sampled_from(SUBSETS))
def test_rows_run_to_failure_without_gaps_and_know_the_truth(serial, seed, subset):
    engine = SimulatedEngine(serial, seed, subset=subset)
    rows = list(engine.rows())
    assert rows[0].cycle == 1
    assert rows[-1] == (engine.life_cycles, rows[-1].values, 0)
    assert all((b.cycle - a.cycle, a.rul_cycles - b.rul_cycles) == (1, 1) for a, b in pairwise(rows))
    assert np.isfinite([row.values for row in rows]).all()


@pytest.mark.parametrize("subset", SUBSETS)
def test_a_row_survives_the_data_files_unchanged(subset):
    engine = SimulatedEngine("A1", 7, subset=subset)
    for row in engine.rows(from_cycle=engine.life_cycles - 20):
        assert parse_line(cmapss_line(4, row.cycle, row.values)) == (4, row.cycle, row.values)


def test_rows_can_start_late():
    engine = SimulatedEngine("A1", 7)
    assert list(engine.rows(from_cycle=100)) == list(engine.rows())[99:]


def test_engines_look_like_the_population_they_were_fitted_to():
    """Against FD001's training engines: median life 199, T24 642.38 °R when new and 1.29 °R hotter at failure."""
    engines = [SimulatedEngine(f"A{number}", 0) for number in range(100)]
    t24 = [values_of(engine)[:, CHANNELS.index("T24")] for engine in engines]
    assert 180 < np.median([engine.life_cycles for engine in engines]) < 220
    assert abs(np.mean([life[:30].mean() for life in t24]) - 642.38) < 0.1
    assert abs(np.mean([life[-5:].mean() - life[:30].mean() for life in t24]) - 1.29) < 0.15


def test_nc_differs_between_engines_in_mid_life_as_on_the_engines_it_was_fitted_to():
    """Against FD001's training engines: a standard deviation of 17.4 rpm from 60 to 41 rows before the end."""
    engines = [values_of(SimulatedEngine(f"A{number}", 0)) for number in range(400)]
    spread_rpm = np.std([engine[-60:-40, CHANNELS.index("Nc")].mean() for engine in engines])
    assert 15 < spread_rpm < 20.5


def test_channels_that_answer_to_wear_move_far_beyond_their_noise():
    noise = frozen_constants("FD001").conditions[0].noise
    engine = values_of(SimulatedEngine("A1", 0))
    ps30 = CHANNELS.index("Ps30")
    assert engine[-5:, ps30].mean() - engine[:30, ps30].mean() > 3 * noise[ps30]


@pytest.mark.parametrize("subset", ["FD002", "FD004"])
def test_each_cycle_is_flown_in_one_of_six_conditions_whatever_the_cycle_before(subset):
    """Five conditions take 15 % of the cycles each, the highest 25 %, as in the training files."""
    altitudes = [np.abs(engine[:, ALTITUDE]).round() for engine in fleet(subset, 60)]
    flown, shares = np.unique(np.concatenate(altitudes), return_counts=True)
    assert flown.tolist() == [0, 10, 20, 25, 35, 42]
    np.testing.assert_allclose(shares / shares.sum(), [0.15] * 5 + [0.25], atol=0.015)
    repeated = np.concatenate([life[1:] == life[:-1] for life in altitudes]).mean()
    assert abs(repeated - (5 * 0.15**2 + 0.25**2)) < 0.02


@pytest.mark.parametrize("subset", ["FD001", "FD002"])
def test_one_fault_mode_wears_out_the_compressor_of_every_engine(subset):
    _, fans = worn_by_mode(subset)
    assert not fans


@pytest.mark.parametrize(
    ("subset", "fan_share", "compressor_life", "fan_life", "compressor_phi", "fan_phi"),
    [("FD003", 0.44, 193, 286, -1.90, 12.47), ("FD004", 0.41, 200, 288, -0.90, 6.54)],
)
def test_two_fault_modes_differ_as_in_the_training_files(
    subset, fan_share, compressor_life, fan_life, compressor_phi, fan_phi
):
    """Share of the fan, median life, and how far phi has moved over the last 15 rows, in pps/psi."""
    compressors, fans = worn_by_mode(subset)
    phi = CHANNELS.index("phi")
    assert abs(len(fans) / 100 - fan_share) < 0.12
    for engines, life, change in [(compressors, compressor_life, compressor_phi), (fans, fan_life, fan_phi)]:
        assert abs(np.median([len(engine) for engine in engines]) / life - 1) < 0.15
        moved = np.mean([engine[-15:, phi].mean() - engine[:30, phi].mean() for engine in engines])
        assert abs(moved / change - 1) < 0.12


def test_the_wear_of_a_fan_jitters_from_row_to_row_so_that_channels_move_together():
    """P30 and phi correlate by 0.30 in the second half of life of FD003's training engines, beyond their trend."""
    _, fans = worn_by_mode("FD003")
    pair = [CHANNELS.index("P30"), CHANNELS.index("phi")]
    second = np.concatenate([np.diff(engine[len(engine) // 2 :, pair], n=2, axis=0) for engine in fans])
    assert 0.2 < np.corrcoef(second.T)[0, 1] < 0.5
