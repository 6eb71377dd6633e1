"""The account of what was emitted survives being written and read."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import SpoolwatchError
from simulators.truth import TruthFile, TruthRow, read_truth

rows = st.builds(
    TruthRow,
    engine=st.text(min_size=1),
    cycle=st.integers(1, 10_000),
    rul_cycles=st.none() | st.integers(0, 500),
    emitted_at=st.datetimes(timezones=st.just(UTC)),
)


@given(st.lists(rows), st.lists(rows))
def test_what_is_appended_is_read_back_in_order(tmp_path_factory, first, second):
    path = tmp_path_factory.mktemp("truth") / "truth.jsonl"

    with TruthFile(path) as truth:
        truth.append(first)
        truth.append(second)

    assert read_truth(path) == first + second


def test_a_row_is_in_the_file_before_the_file_is_closed(tmp_path):
    path = tmp_path / "truth.jsonl"
    row = TruthRow(engine="E-01", cycle=1, rul_cycles=7, emitted_at=datetime(2026, 1, 1, tzinfo=UTC))

    with TruthFile(path) as truth:
        truth.append([row])

        assert read_truth(path) == [row]


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "truth.jsonl"
    path.write_text('{"engine":"E-01","cycle":1,"rul_cycles":null,"emitted_at":"2026-01-01T00:00:00Z"}\n{"eng\n')

    with pytest.raises(SpoolwatchError, match="line 2 is damaged"):
        read_truth(path)


def test_a_missing_account_is_said_to_be_missing(tmp_path):
    with pytest.raises(SpoolwatchError, match="No such file"):
        read_truth(tmp_path / "truth.jsonl")
