"""What the real model makes of rows that no engine ever sent."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.engines import Engines
from shared.cmapss import CHANNELS
from shared.errors import RowError
from shared.messages import CYCLE_MAX, decode_record
from shared.predictor import find_bundle, load_bundle
from shared.rows import SensorRow

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
    return load_bundle(find_bundle("turbofan-fd001"))


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
