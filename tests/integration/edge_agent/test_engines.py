"""What the real model makes of rows that no engine ever sent."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.engines import Engines
from edge_agent.outbox import StoredState
from shared.cmapss import CHANNELS
from shared.errors import RowError
from shared.messages import CYCLE_MAX, decode_record
from shared.predictor import find_bundle, load_bundle
from shared.rows import SensorRow

HEADER_BYTES, REPEATS_WORDS, DRIFT_WORDS = 14, 16 * 3, 16 * 2
NOW = datetime(2026, 1, 2, tzinfo=UTC)
GOOD = SensorRow("E-1", CYCLE_MAX, NOW, dict.fromkeys(CHANNELS, 100.0))

hostile_rows = st.builds(
    SensorRow,
    st.just("E-1"),
    st.integers(-5, 400)
    | st.integers().filter(lambda cycle: cycle != CYCLE_MAX)
    | st.sampled_from([CYCLE_MAX - 1, CYCLE_MAX + 1, 10**23, -(2**31)]),
    st.just(NOW),
    st.dictionaries(st.sampled_from(CHANNELS) | st.text(max_size=70), st.floats(), max_size=30),
)


@pytest.fixture(scope="module")
def predictor():
    return load_bundle(find_bundle("turbofan"))


@settings(deadline=None, max_examples=60)
@given(rows=st.lists(hostile_rows, max_size=10))
def test_p10_any_row_gives_records_the_centre_can_read_or_a_reason_and_the_next_one_is_taken(predictor, rows):
    engines = Engines(predictor, ["E-1"], lambda _: None, lambda: NOW)
    for row in rows:
        before = engines.stored(["E-1"])
        try:
            made = engines.take(row)
        except RowError:
            assert engines.stored(["E-1"]) == before
        else:
            assert decode_record(made.telemetry).cycle == row.cycle
            assert made.prediction is None or decode_record(made.prediction).cycle == row.cycle
    assert engines.take(GOOD)


def of_this_model(predictor, state):
    return StoredState(predictor.model_ref.sha256, state)


def damaged_states(good):
    """States that no step has stored, by what is wrong with them."""
    numbers = np.frombuffer(good[HEADER_BYTES:], np.int32).copy()
    nowhere, backwards, uncounted, adrift = (numbers.copy() for _ in range(4))
    nowhere[0] = np.float32(np.nan).view(np.int32)
    backwards[-DRIFT_WORDS - REPEATS_WORDS - 1] = -5
    uncounted[-DRIFT_WORDS - 1] = -5
    adrift[-DRIFT_WORDS:] = np.full(DRIFT_WORDS // 2, np.inf).view(np.int32)
    return {
        "empty": b"",
        "short": good[:-1],
        "another model's": b"\0" * 8 + good[8:],
        "not a number": good[:HEADER_BYTES] + nowhere.tobytes(),
        "cycles that fall": good[:HEADER_BYTES] + backwards.tobytes(),
        "less than no repeats": good[:HEADER_BYTES] + uncounted.tobytes(),
        "beyond all drift": good[:HEADER_BYTES] + adrift.tobytes(),
    }


@pytest.mark.parametrize(
    "what",
    [
        "empty",
        "short",
        "another model's",
        "not a number",
        "cycles that fall",
        "less than no repeats",
        "beyond all drift",
    ],
)
def test_an_engine_whose_stored_state_is_damaged_starts_afresh(predictor, what, capsys):
    engines = Engines(predictor, ["E-1"], lambda _: None, lambda: NOW)
    row = replace(GOOD, cycle=50)
    engines.take(row)
    good = engines.stored(["E-1"])["E-1"].state
    assert Engines(predictor, ["E-1"], lambda _: of_this_model(predictor, good), lambda: NOW).lost == []
    states = {
        "E-1": of_this_model(predictor, damaged_states(good)[what]),
        "E-2": of_this_model(predictor, good),
    }
    again = Engines(predictor, states, states.get, lambda: NOW)
    assert again.lost == ["E-1"]
    assert "engine_state_lost" in capsys.readouterr().out
    assert again.take(row)
    with pytest.raises(RowError, match="cycle 50"):
        again.take(replace(row, engine="E-2"))


def test_an_engine_whose_state_is_another_models_starts_anew_and_the_log_says_so(predictor, capsys):
    engines = Engines(predictor, ["E-1"], lambda _: None, lambda: NOW)
    engines.take(replace(GOOD, cycle=50))
    other = StoredState("f" * 64, engines.stored(["E-1"])["E-1"].state)
    again = Engines(predictor, ["E-1", "E-2"], {"E-1": other}.get, lambda: NOW)
    logged = capsys.readouterr().out
    assert logged.count("engine_starts_anew") == 1
    for told in ("E-1", "f" * 64, predictor.model_ref.sha256, predictor.model_ref.version, "starts late"):
        assert told in logged
    assert again.lost == []
    assert again.take(replace(GOOD, cycle=50))
