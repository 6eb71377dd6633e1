import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from shared import runtimes
from shared.cmapss import CHANNELS
from shared.errors import BundleError, RowError
from shared.predictor import load_bundle
from shared.rows import SensorRow
from simulators.engine_model import SimulatedEngine


def rows_of(serial, seed=0):
    for row in SimulatedEngine(serial, seed).rows():
        channels = dict(zip(CHANNELS, row.values, strict=True))
        yield SensorRow(serial, row.cycle, datetime(2026, 1, 1, tzinfo=UTC), channels)


@pytest.fixture
def predictor(released, runtime):
    return load_bundle(released, runtime)


def test_golden_vectors_come_out_within_one_step_on_each_runtime(predictor, runtime):
    predictor.check_golden()
    assert predictor.runtime.startswith(f"{runtime} ")
    for golden in predictor.manifest.golden_tensors:
        output = predictor.network.run(np.frombuffer(golden.input, np.int8)).astype(int)
        assert np.abs(output - np.frombuffer(golden.output, np.int8)).max() <= 1


def test_a_whole_life_is_predicted_with_ordered_quantiles_and_its_lineage(predictor):
    state, rows = predictor.new_state(), list(rows_of("L1"))
    outcomes = [predictor.step(state, row).outcome for row in rows]
    assert all(one.rul_cycles.q05 <= one.rul_cycles.q50 <= one.rul_cycles.q95 for one in outcomes)
    assert outcomes[0].rul_cycles.mean > 90
    assert outcomes[-1].rul_cycles.mean < 20
    windows = [(one.window.first_cycle, one.window.last_cycle, one.window.rows) for one in outcomes]
    assert windows[0] == (1, 1, 1)
    assert windows[59] == (11, 60, 50)
    assert predictor.model_ref.sha256 == predictor.manifest.sha256


def test_without_the_age_the_interval_is_wider_and_the_cycle_does_not_matter(predictor):
    rows = list(rows_of("L1"))[:100]
    known, unknown, shifted = (predictor.new_state() for _ in range(3))
    for row in rows:
        with_age = predictor.step(known, row).outcome
        without = predictor.step(unknown, row, age_known=False).outcome
        elsewhere = predictor.step(shifted, replace(row, cycle=row.cycle + 1000), age_known=False).outcome
    assert without.input == elsewhere.input
    assert without.rul_cycles.q95 - without.rul_cycles.q05 > with_age.rul_cycles.q95 - with_age.rul_cycles.q05


def test_a_stored_input_tensor_gives_the_same_prediction_again(predictor):
    state = predictor.new_state()
    for row in rows_of("L1"):
        outcome = predictor.step(state, row).outcome
        assert predictor.predict_input(outcome.input) == outcome.rul_cycles


def test_a_restart_from_stored_state_changes_nothing(predictor):
    straight, restarted = predictor.new_state(), predictor.new_state()
    for row in rows_of("L1"):
        restarted = predictor.state_from_bytes(restarted.to_bytes())
        assert predictor.step(restarted, row) == predictor.step(straight, row)
    assert len(straight.to_bytes()) < 10_000


def test_both_runtimes_make_the_same_tensors_and_agree_within_one_step(released):
    first, second = (load_bundle(released, runtime) for runtime in ("tflite-runtime", "ai-edge-litert"))
    states = first.new_state(), second.new_state()
    step_cycles = first.manifest.output.scale * first.manifest.head_scale_cycles
    for row in rows_of("L1"):
        one, other = (model.step(state, row).outcome for model, state in zip((first, second), states, strict=True))
        assert one.input == other.input
        assert abs(one.rul_cycles.mean - other.rul_cycles.mean) <= step_cycles * 1.01


def test_a_few_missing_channels_are_flagged_and_bridged(predictor):
    rows = list(rows_of("L1"))[:60]
    good, holey = predictor.new_state(), predictor.new_state()
    for row in rows:
        expected = predictor.step(good, row)
        found = predictor.step(
            holey, SensorRow(row.engine, row.cycle, row.observed_at, row.channels | {"T24": math.nan})
        )
    assert found.flags == {"T24": ["missing"]}
    assert found.outcome.rul_cycles.mean == pytest.approx(expected.outcome.rul_cycles.mean, abs=25)


def test_too_many_missing_channels_refuse_the_prediction_but_the_state_goes_on(predictor):
    rows = list(rows_of("L1"))
    state = predictor.new_state()
    predictor.step(state, rows[0])
    gone = dict.fromkeys(predictor.manifest.features.channels[:5], math.nan)
    step = predictor.step(state, SensorRow("L1", 2, rows[1].observed_at, rows[1].channels | gone))
    assert step.outcome is None
    assert step.refusal.startswith("5 of 14 channels are missing or out of range (Nf, P30, T24, T30, T50)")
    assert set(step.flags) == set(gone)
    after = predictor.step(state, rows[2])
    assert (after.flags, after.outcome.window.rows) == ({}, 3)


def test_an_unusable_row_leaves_the_state_as_it_was(predictor):
    rows = list(rows_of("L1"))
    state = predictor.new_state()
    predictor.step(state, rows[4])
    before = state.to_bytes()
    for unusable in (rows[4], rows[3]):
        with pytest.raises(RowError, match="cannot follow cycle 5"):
            predictor.step(state, unusable)
    assert state.to_bytes() == before
    assert state.last_cycle == 5


def test_a_channel_that_the_model_does_not_know_changes_nothing(predictor):
    row = next(rows_of("L1"))
    alone = predictor.step(predictor.new_state(), row)
    beside = predictor.step(predictor.new_state(), replace(row, channels=row.channels | {"torque": 1.0}))
    assert beside.flags == {"channels": ["unknown"]}
    assert beside.outcome == alone.outcome


def test_a_skipped_cycle_is_flagged_and_predicted(predictor):
    rows = list(rows_of("L1"))
    state = predictor.new_state()
    predictor.step(state, rows[0])
    step = predictor.step(state, rows[5])
    assert step.flags == {"cycle": ["cycle_gap"]}
    assert (step.outcome.window.first_cycle, step.outcome.window.last_cycle, step.outcome.window.rows) == (1, 6, 2)


def test_a_new_state_has_no_last_cycle(predictor):
    assert predictor.new_state().last_cycle is None


def test_a_runtime_that_is_not_installed_is_named(released, monkeypatch):
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None)
    with pytest.raises(BundleError, match=r"not installed \(tflite-runtime or ai-edge-litert\).*spoolwatch\[agent\]"):
        load_bundle(released)
