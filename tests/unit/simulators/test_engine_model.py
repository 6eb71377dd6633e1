from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.cmapss import CHANNELS, cmapss_line, parse_line
from simulators.engine_model import SimulatedEngine, frozen_constants


def values_of(engine):
    return np.array([row.values for row in engine.rows()])


def test_the_same_serial_and_seed_give_the_same_engine():
    first, second = (list(SimulatedEngine("A1", 7).rows()) for _ in range(2))
    assert first == second


def test_another_serial_or_seed_gives_another_engine():
    lives = {SimulatedEngine(*who).life_cycles for who in [("A1", 7), ("A2", 7), ("A1", 8), ("B1", 7)]}
    assert len(lives) > 1


@settings(max_examples=25, deadline=None)
@given(st.text("ABC-_.0123456789", min_size=1, max_size=20), st.integers(0, 2**32))
def test_rows_run_to_failure_without_gaps_and_know_the_truth(serial, seed):
    engine = SimulatedEngine(serial, seed)
    rows = list(engine.rows())
    assert rows[0].cycle == 1
    assert rows[-1] == (engine.life_cycles, rows[-1].values, 0)
    assert all((b.cycle - a.cycle, a.rul_cycles - b.rul_cycles) == (1, 1) for a, b in pairwise(rows))
    assert np.isfinite([row.values for row in rows]).all()


def test_a_row_survives_the_data_files_unchanged():
    engine = SimulatedEngine("A1", 7)
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
    constants = frozen_constants()
    engine = values_of(SimulatedEngine("A1", 0))
    ps30 = CHANNELS.index("Ps30")
    assert engine[-5:, ps30].mean() - engine[:30, ps30].mean() > 3 * constants.regime.noise[ps30]
