"""Counting: whatever is missing or too many shows, and nothing else does."""

from collections import Counter
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from simulators.count import Stored, compare
from simulators.truth import TruthRow

AT = datetime(2026, 1, 1, tzinfo=UTC)

keys = st.tuples(st.sampled_from(["E-01", "E-02", "E-03"]), st.integers(1, 20))


def _truth(emitted):
    return [TruthRow(engine=engine, cycle=cycle, rul_cycles=None, emitted_at=AT) for engine, cycle in emitted]


def _stored(emitted):
    return Stored(Counter(emitted), Counter(emitted))


@given(st.sets(keys))
def test_a_store_that_holds_what_was_emitted_is_complete(emitted):
    count = compare(_truth(emitted), _stored(emitted), dropped=0)

    assert count.complete
    assert count.predictions == count.committed == len(emitted)


@given(st.sets(keys, min_size=1), st.data())
def test_one_missing_prediction_is_one_lost(emitted, data):
    stored = _stored(emitted)
    del stored.predictions[data.draw(st.sampled_from(sorted(emitted)))]

    count = compare(_truth(emitted), stored, dropped=0)

    assert (count.lost, count.duplicates, count.complete) == (1, 0, False)


@given(st.sets(keys, min_size=1), st.data())
def test_one_row_stored_twice_is_one_duplicate(emitted, data):
    stored = _stored(emitted)
    stored.telemetry[data.draw(st.sampled_from(sorted(emitted)))] += 1

    count = compare(_truth(emitted), stored, dropped=0)

    assert (count.lost, count.duplicates, count.complete) == (0, 1, False)


def test_a_lost_row_and_a_duplicate_do_not_make_up_for_each_other():
    count = compare(_truth([("E-01", 1), ("E-01", 2)]), _stored([("E-01", 1), ("E-01", 1)]), dropped=0)

    assert (count.predictions, count.committed) == (2, 2)
    assert (count.lost, count.duplicates, count.complete) == (2, 2, False)


def test_what_a_gateway_dropped_by_policy_is_not_lost_but_not_complete_either():
    count = compare(_truth([("E-01", 1), ("E-01", 2)]), _stored([("E-01", 2)]), dropped=2)

    assert (count.dropped, count.lost, count.complete) == (2, 0, False)


@given(st.sets(keys, min_size=1), st.data())
def test_a_row_that_the_model_refused_owes_no_prediction(emitted, data):
    refused = data.draw(st.sets(st.sampled_from(sorted(emitted))))
    stored = Stored(Counter(emitted), Counter(emitted - refused), dict.fromkeys(refused, "too hot"))

    count = compare(_truth(emitted), stored, dropped=0)

    assert (count.complete, count.lost, count.duplicates) == (True, 0, 0)
    assert count.predictions == count.committed == len(emitted) - len(refused)
    assert count.refused == Counter({"too hot": len(refused)} if refused else {})


def test_a_row_that_is_neither_predicted_nor_refused_is_lost_beside_refused_ones():
    rows = [("E-01", 1), ("E-01", 2)]
    count = compare(_truth(rows), Stored(Counter(rows), Counter(), {("E-01", 1): "too hot"}), dropped=0)

    assert (count.lost, count.complete) == (1, False)


def test_the_line_reads_as_documented():
    count = compare(_truth([("E-01", 1), ("E-02", 1)]), _stored([("E-01", 1), ("E-02", 1)]), dropped=0)

    assert str(count) == "engines 2, predictions 2, committed 2, dropped 0, lost 0, duplicates 0"
