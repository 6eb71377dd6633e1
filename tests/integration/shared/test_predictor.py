import math
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest

from shared import runtimes
from shared.bundle import find_bundle, read_bundle
from shared.cmapss import CHANNELS
from shared.errors import BundleError, RowError
from shared.features import feature_names
from shared.manifest import Sides
from shared.predictor import Predictor, load_bundle
from shared.rows import SensorRow
from simulators.engine_model import SimulatedEngine


def rows_of(serial, seed=0, subset="FD001"):
    for row in SimulatedEngine(serial, seed, subset=subset).rows():
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
    longest = predictor.manifest.features.window_rows
    assert windows[longest + 9] == (11, longest + 10, longest)
    assert predictor.model_ref.sha256 == predictor.manifest.sha256


def test_a_row_of_unknown_age_has_the_calibration_that_the_manifest_keeps_for_it(released, runtime):
    bundle = read_bundle(released)
    own = msgspec.structs.replace(bundle.manifest.calibration, mean=[100.0] * len(bundle.manifest.calibration.nodes))
    manifest = msgspec.structs.replace(bundle.manifest, ageless_calibration=own)
    predictor = Predictor(replace(bundle, manifest=manifest), runtime)
    output = np.frombuffer(manifest.golden_tensors[0].output, np.int8)
    known, unknown = (predictor.interpret(output, flags) for flags in ({}, {"cycle": ["unknown_age"]}))
    assert unknown.mean > known.mean + 50
    assert unknown.q50 == known.q50


def test_without_the_age_the_prediction_says_so_and_is_less_sure(predictor):
    known, unknown = predictor.new_state(), predictor.new_state()
    with_age, without = [], []
    for row in rows_of("L1"):
        with_age.append(predictor.step(known, row))
        without.append(predictor.step(unknown, row, age_known=False))
    assert without[60].flags == {"cycle": ["unknown_age"]}
    assert np.mean([*map(width, without)]) > np.mean([*map(width, with_age)])
    tensors = [np.frombuffer(step.outcome.input, np.int8) for step in (with_age[60], without[60])]
    spec = predictor.manifest.features
    changed = {feature_names(spec)[column] for column in np.flatnonzero(tensors[0] != tensors[1])}
    ageless = tuple(f".slope{rows}" for rows in spec.ageless_slope_rows)
    assert changed > {"age", "age_known"}
    assert all(name.endswith(ageless) for name in changed - {"age", "age_known"})


def test_a_stored_input_tensor_gives_the_same_prediction_again(predictor):
    state = predictor.new_state()
    for row in rows_of("L1"):
        good = row.cycle % 7
        step = predictor.step(state, row if good else replace(row, channels=row.channels | {"T24": math.nan}))
        assert predictor.predict_input(step.outcome.input, step.flags) == step.outcome.rul_cycles


def test_a_restart_from_stored_state_changes_nothing(predictor):
    straight, restarted = predictor.new_state(), predictor.new_state()
    for row in rows_of("L1"):
        restarted = predictor.state_from_bytes(restarted.to_bytes())
        assert predictor.step(restarted, row) == predictor.step(straight, row)
    assert len(straight.to_bytes()) < 10_000


def test_both_runtimes_make_the_same_tensors_and_their_networks_agree_within_one_step(released):
    first, second = (load_bundle(released, runtime) for runtime in ("tflite-runtime", "ai-edge-litert"))
    states = first.new_state(), second.new_state()
    for row in rows_of("L1"):
        one, other = (model.step(state, row).outcome for model, state in zip((first, second), states, strict=True))
        assert one.input == other.input
        tensor = np.frombuffer(one.input, np.int8)
        difference = first.network.run(tensor).astype(int) - second.network.run(tensor)
        assert np.abs(difference).max() <= 1
        assert one.rul_cycles.mean == pytest.approx(other.rul_cycles.mean, abs=2)


def width(step):
    return step.outcome.rul_cycles.q95 - step.outcome.rul_cycles.q05


def test_a_few_missing_channels_are_flagged_and_bridged_and_widen_the_interval(predictor):
    good, holey = predictor.new_state(), predictor.new_state()
    for row in list(rows_of("L1"))[:60]:
        expected = predictor.step(good, row)
        found = predictor.step(holey, replace(row, channels=row.channels | {"T24": math.nan}))
    assert (expected.flags, found.flags) == ({}, {"T24": ["missing"]})
    assert found.outcome.rul_cycles.mean == pytest.approx(expected.outcome.rul_cycles.mean, abs=25)
    unwidened = predictor.predict_input(found.outcome.input, {})
    sides = predictor.manifest.widening.unusable_channels[0]
    assert sides.below > 0
    assert found.outcome.rul_cycles.q05 == unwidened.q05 - sides.below
    assert found.outcome.rul_cycles.q95 == unwidened.q95 + sides.above


def test_a_stuck_channel_is_flagged_after_a_while_and_from_then_on_held(predictor):
    rows = list(rows_of("L1"))
    stuck_rows = {channel.name: channel.stuck_rows for channel in predictor.manifest.channels}["T50"]
    state = predictor.new_state()
    steps = [
        predictor.step(state, replace(row, channels=row.channels | ({"T50": 1400.0} if row.cycle > 40 else {})))
        for row in rows[:60]
    ]
    found = ["T50" in step.flags for step in steps]
    assert found == [False] * (40 + stuck_rows - 1) + [True] * (20 - stuck_rows + 1)
    assert steps[-1].flags == {"T50": ["stuck"]}
    after = [predictor.step(state, row) for row in rows[60:81]]
    # The 20 stuck values count as lost from the first on.
    assert [step.flags for step in after] == [{"T50": ["recovering"]}] * 19 + [{}] * 2
    sides = predictor.manifest.widening.unusable_channels[0]
    unwidened = predictor.predict_input(after[0].outcome.input, {})
    assert after[0].outcome.rul_cycles.q05 == unwidened.q05 - sides.below


def test_a_value_missing_between_stuck_ones_lets_no_channel_off(predictor):
    state = predictor.new_state()
    for row in list(rows_of("L1"))[:60]:
        stuck = {"T50": math.nan if row.cycle % 4 == 0 else 1400.0} if row.cycle > 40 else {}
        step = predictor.step(state, replace(row, channels=row.channels | stuck))
        if row.cycle > 50:
            assert step.flags == {"T50": ["missing" if row.cycle % 4 == 0 else "stuck"]}


@pytest.mark.parametrize(
    ("outage", "recovering"), [(1, 0), (2, 1), (10, 9), (80, 79)], ids=["one row", "two rows", "ten rows", "long"]
)
def test_channels_that_are_back_are_recovering_for_as_long_as_they_were_away(predictor, outage, recovering):
    rows = list(rows_of("L1"))
    back = 40 + outage
    gone = dict.fromkeys(["T24", "T30"], math.nan)
    state = predictor.new_state()
    steps = [
        predictor.step(state, replace(row, channels=row.channels | (gone if 40 < row.cycle <= back else {})))
        for row in rows[: back + 82]
    ]
    assert [step.flags for step in steps[back:]] == [{"T24": ["recovering"], "T30": ["recovering"]}] * recovering + [
        {}
    ] * (82 - recovering)
    assert all(step.outcome for step in steps)


def test_after_an_outage_of_all_channels_predictions_are_refused_until_they_rest_on_rows_again(predictor):
    rows = list(rows_of("L1"))
    state = predictor.new_state()
    for row in rows[:60]:
        lost = {"altitude": math.nan} if row.cycle > 40 else {}
        predictor.step(state, replace(row, channels=row.channels | lost))
    steps = [predictor.step(state, row) for row in rows[60:80]]
    assert [step.outcome is None for step in steps] == [True] * 19 + [False]
    assert steps[0].refusal.startswith("16 of 16 channels are unusable (BPR recovering, NRc recovering, ")
    assert steps[0].refusal.endswith("; the model allows 4")


def test_too_many_missing_channels_refuse_the_prediction_but_the_state_goes_on(predictor):
    rows = list(rows_of("L1"))
    state = predictor.new_state()
    predictor.step(state, rows[0])
    gone = dict.fromkeys(predictor.manifest.features.channels[:5], math.nan)
    step = predictor.step(state, SensorRow("L1", 2, rows[1].observed_at, rows[1].channels | gone))
    assert step.outcome is None
    assert step.refusal == (
        "5 of 16 channels are unusable (P15 missing, P30 missing, T24 missing, T30 missing, T50 missing); "
        "the model allows 4"
    )
    assert set(step.flags) - {"cycle"} == set(gone)
    after = predictor.step(state, rows[2])
    assert (after.flags, after.outcome.window.rows) == ({"cycle": ["short_history"]}, 3)


@pytest.mark.parametrize(
    ("altitude", "reason"), [(15.0, "unknown_regime"), (math.nan, "missing"), (500.0, "out_of_range")]
)
def test_under_an_unknown_operating_condition_the_prediction_is_refused_and_no_channel_counts(
    predictor, altitude, reason
):
    rows = list(rows_of("L1"))[:61]
    state, undisturbed = predictor.new_state(), predictor.new_state()
    for row in rows[:59]:
        predictor.step(state, row)
        predictor.step(undisturbed, row)
    lost = predictor.step(state, replace(rows[59], channels=rows[59].channels | {"altitude": altitude}))
    assert lost.flags == {"altitude": [reason]}
    assert lost.refusal == (
        f"the operating condition is unknown: altitude is {reason}; the model knows 0, 10, 20, 25, 35, 42"
    )
    predictor.step(undisturbed, rows[59])
    after, expected = predictor.step(state, rows[60]), predictor.step(undisturbed, rows[60])
    assert after.outcome.rul_cycles.mean == pytest.approx(expected.outcome.rul_cycles.mean, abs=5)


def test_an_altitude_that_stands_still_while_the_engine_does_not_is_contradicted_by_the_other_channels(predictor):
    state = predictor.new_state()
    flags, refusals = {}, set()
    for row in list(rows_of("L1", subset="FD004"))[:80]:
        shown = row.channels | ({"altitude": 20.0} if row.cycle > 40 else {})
        step = predictor.step(state, replace(row, channels=shown))
        if row.cycle > 40:
            flags.setdefault(round(row.channels["altitude"]), []).append(step.flags.get("altitude"))
            refusals |= {step.refusal}
        else:
            assert "altitude" not in step.flags
    assert {altitude: several.count(["contradicted"]) == len(several) for altitude, several in flags.items()} == {
        altitude: altitude != 20 for altitude in (0, 10, 20, 25, 35, 42)
    }
    assert (
        "the operating condition is unknown: altitude is contradicted; the model knows 0, 10, 20, 25, 35, 42"
        in refusals
    )


def drifting(row, channel, from_cycle, rate):
    """The row, with one channel off by so much more each cycle."""
    off = rate * max(0, row.cycle - from_cycle + 1)
    return replace(row, channels=row.channels | {channel: row.channels[channel] + off})


@pytest.mark.parametrize("subset", ["FD001", "FD004"])
def test_a_channel_that_drifts_is_flagged_held_and_widens_where_it_would_pass_for_wear(predictor, subset):
    healthy, ill = predictor.new_state(), predictor.new_state()
    for row in list(rows_of("L1", subset=subset))[:100]:
        expected = predictor.step(healthy, row)
        found = predictor.step(ill, drifting(row, "T50", 61, rate=4.0))
        if row.cycle <= 60:
            assert found == expected
    assert (expected.flags, found.flags) == ({}, {"T50": ["drift"]})
    assert width(found) > width(expected)
    unaware = Predictor(read_bundle_without_drift(), predictor.runtime)
    state = unaware.new_state()
    for row in list(rows_of("L1", subset=subset))[:100]:
        blind = unaware.step(state, drifting(row, "T50", 61, rate=4.0))
    assert blind.flags == {}
    off, blindly_off = (expected.outcome.rul_cycles.q50 - one.outcome.rul_cycles.q50 for one in (found, blind))
    assert abs(off) < 20 < blindly_off


def test_a_drift_that_has_ended_is_recovered_from(predictor):
    state = predictor.new_state()
    flags = []
    for row in list(rows_of("L1"))[:100]:
        shown = drifting(row, "T50", 61, rate=12.0) if row.cycle <= 70 else row
        flags.append(predictor.step(state, shown).flags.get("T50"))
    assert flags[64:70] == [["drift"]] * 6
    assert flags.index(["recovering"]) < 80
    assert flags[-1] is None


def test_a_state_from_before_drift_was_looked_for_goes_on_with_none_found(predictor):
    """The networks of 1.2.1 and 1.3.0 are the same, and states go by the network."""
    old = Predictor(read_bundle_without_drift(), predictor.runtime)
    state, rows = old.new_state(), list(rows_of("L1"))[:60]
    for row in rows[:40]:
        old.step(state, row)
    departures = len(predictor.manifest.features.channels) * 8
    upgraded = predictor.state_from_bytes(state.to_bytes()[:-departures])
    assert [predictor.step(upgraded, row) for row in rows[40:]] == [old.step(state, row) for row in rows[40:]]


@pytest.mark.parametrize("damage", [lambda stored: stored[:-1], lambda stored: stored[:-8] + b"\xff" * 8])
def test_stored_departures_that_are_damaged_are_refused(predictor, damage):
    with pytest.raises(BundleError, match="start the engine's state anew"):
        predictor.state_from_bytes(damage(predictor.new_state().to_bytes()))


def read_bundle_without_drift():
    bundle = read_bundle(find_bundle("turbofan"))
    return replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, drift=None))


def test_a_young_engine_is_flagged_until_its_history_is_long_enough(predictor):
    state = predictor.new_state()
    steps = [predictor.step(state, row) for row in list(rows_of("L1"))[:30]]
    assert [step.flags for step in steps] == [{"cycle": ["short_history"]}] * 29 + [{}]
    assert all(step.outcome is not None for step in steps)


def test_a_history_that_starts_late_is_flagged_and_its_interval_is_wider(predictor):
    rows = list(rows_of("L1"))[:120]
    whole, late = predictor.new_state(), predictor.new_state()
    for row in rows:
        expected = predictor.step(whole, row)
        if row.cycle > 60:
            found = predictor.step(late, row)
    assert (expected.flags, found.flags) == ({}, {"cycle": ["late_start"]})
    assert width(found) > width(expected)


def test_a_history_that_starts_late_and_is_short_is_both_in_one(predictor):
    state = predictor.new_state()
    late = [predictor.step(state, row).flags for row in list(rows_of("L1"))[60:91]]
    assert late == [{"cycle": ["short_late_start"]}] * 29 + [{"cycle": ["late_start"]}] * 2


def test_first_rows_without_most_channels_do_not_show_the_engine_as_it_was_installed(predictor):
    gone = dict.fromkeys(predictor.manifest.features.channels[:12], math.nan)
    state = predictor.new_state()
    for row in list(rows_of("L1"))[:60]:
        lost = gone if row.cycle <= 10 else {}
        step = predictor.step(state, replace(row, channels=row.channels | lost))
    assert step.flags == {"cycle": ["late_start"]}


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
    assert beside.flags == {"channels": ["unknown"], "cycle": ["short_history"]}
    assert beside.outcome == alone.outcome


def test_a_skipped_cycle_is_flagged_at_once_and_as_long_as_the_window_lacks_it(predictor):
    rows = list(rows_of("L1"))
    state = predictor.new_state()
    longest = predictor.manifest.features.window_rows
    steps = [predictor.step(state, row) for row in rows if row.cycle <= 40 or row.cycle > 45]
    assert steps[40].flags == {"cycle": ["cycle_gap", "window_gap"]}
    window = steps[40].outcome.window
    assert (window.first_cycle, window.last_cycle, window.rows) == (1, 46, 41)
    last = 40 + longest - 2
    assert all(step.flags == {"cycle": ["window_gap"]} for step in steps[41 : last + 1])
    assert steps[last + 1].flags == {}


def test_a_new_state_has_no_last_cycle(predictor):
    assert predictor.new_state().last_cycle is None


def test_a_runtime_that_is_not_installed_is_named(released, monkeypatch):
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None)
    with pytest.raises(BundleError, match=r"not installed \(tflite-runtime or ai-edge-litert\).*spoolwatch\[agent\]"):
        load_bundle(released)


def test_what_is_told_of_a_rows_samples_stands_in_its_flags_and_changes_nothing_else(predictor):
    """The released manifest knows none of these flags."""
    plain, told = predictor.new_state(), predictor.new_state()
    names = {"T24": ["rate", "spike"], "altitude": ["late"], "cycle": ["clock", "partial"], "T30": ["some_missing"]}
    for row in rows_of("L1"):
        expected, found = predictor.step(plain, row), predictor.step(told, replace(row, flags=names))
    assert found.outcome == expected.outcome
    assert found.flags == names
    again = predictor.predict_input(found.outcome.input, found.flags)
    assert again == found.outcome.rul_cycles


def test_a_manifest_that_lists_a_flag_of_the_samples_widens_for_it(predictor):
    sides = Sides(below=7.0, above=3.0)
    widening = msgspec.structs.replace(predictor.manifest.widening, flags={"spike": sides})
    predictor.manifest = msgspec.structs.replace(predictor.manifest, widening=widening)
    row = next(rows_of("L1"))
    plain = predictor.step(predictor.new_state(), row).outcome.rul_cycles
    wide = predictor.step(predictor.new_state(), replace(row, flags={"T24": ["spike"]})).outcome.rul_cycles
    assert (wide.q05, wide.q95) == pytest.approx((plain.q05 - 7, plain.q95 + 3))
