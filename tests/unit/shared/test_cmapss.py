import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cmapss import CHANNELS, DECIMALS, UNITS, cmapss_line, parse_line
from shared.errors import RowError
from shared.messages import CYCLE_MAX

LINE = (
    "1 1 -0.0007 -0.0004 100.0 518.67 641.82 1589.70 1400.60 14.62 21.61 554.36 2388.06 9046.19 1.30 47.47 "
    "521.66 2388.02 8138.62 8.4195 0.03 392 2388 100.00 39.06 23.4190  "
)


def line_with(column, text, line=LINE):
    fields = line.split()
    fields[column - 1] = text
    return " ".join(fields)


def test_a_line_of_the_data_set_is_read_and_written_back_byte_for_byte():
    row = parse_line(LINE)
    assert (row.unit, row.cycle, row.values[CHANNELS.index("T24")]) == (1, 1, 641.82)
    assert cmapss_line(*row) == LINE


@given(st.lists(st.floats(-9e4, 9e4) | st.just(math.nan), min_size=24, max_size=24), st.integers(1, 999))
def test_writing_and_reading_lose_only_the_rounding(values, cycle):
    row = parse_line(cmapss_line(3, cycle, values))
    assert (row.unit, row.cycle) == (3, cycle)
    for name, before, after in zip(CHANNELS, values, row.values, strict=True):
        assert after == pytest.approx(before, abs=0.51 * 10.0 ** -DECIMALS[name], nan_ok=True)


def test_every_channel_has_a_unit():
    assert len(CHANNELS) == len(set(CHANNELS)) == 24
    assert all(UNITS[name] for name in CHANNELS)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "0 columns instead of 26"),
        (LINE + "1.0", "27 columns instead of 26"),
        (line_with(1, "0"), r"column 1 \(unit\): '0' is not a whole number from 1"),
        (line_with(2, "0"), r"column 2 \(cycle\): '0'"),
        (line_with(2, "-3"), r"column 2 \(cycle\): '-3'"),
        (line_with(2, str(2**31)), r"column 2 \(cycle\): '2147483648' is not a whole number from 1 to 2147483647"),
        (line_with(1, "9" * 23), r"column 1 \(unit\): '9+' is not"),
        (line_with(2, "9" * 5000), r"column 2 \(cycle\): '9{40}'… \(5000 characters\) is not"),
        (line_with(9, "x" * 5000), r"'x{40}'… \(5000 characters\) is not a number"),
        (line_with(2, "1.5"), r"column 2 \(cycle\): '1.5'"),
        (line_with(7, "n/a"), r"column 7 \(T24\): 'n/a' is not a number"),
        (line_with(26, "inf"), r"column 26 \(W32\): 'inf' is not finite"),
    ],
)
def test_a_wrong_line_names_the_column(line, reason):
    with pytest.raises(RowError, match=reason):
        parse_line(line)


@given(st.lists(st.text(max_size=8) | st.from_regex(r"[-+]?[0-9]{1,5000}") | st.just("1"), min_size=26, max_size=26))
def test_any_line_is_a_row_within_the_counters_bounds_or_refused_with_a_short_reason(fields):
    row = reason = None
    try:
        row = parse_line(" ".join(fields))
    except RowError as error:
        reason = str(error)
    if row is None:
        assert len(reason) < 600
    else:
        assert 1 <= row.unit <= CYCLE_MAX
        assert 1 <= row.cycle <= CYCLE_MAX


def test_the_last_possible_cycle_is_read():
    assert parse_line(line_with(2, str(CYCLE_MAX))).cycle == CYCLE_MAX


def test_nan_is_let_through_in_a_line():
    assert math.isnan(parse_line(line_with(7, "nan")).values[4])


def test_reading_lines_needs_no_numpy():
    code = "import sys, shared.cmapss; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
