"""A long history as few points: what the store sums up is what summing up its rows gives."""

from statistics import fmean

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple
from sqlalchemy import delete, select

from aggregator.store.reads.buckets import BucketSpan, Extent, sum_up_predictions, sum_up_telemetry
from aggregator.store.tables import Installation, Prediction, Receipt, TakenCycles, Telemetry, core

CYCLE_MAX = 2**31 - 1
CHANNEL = "a b'.c"


@pytest.fixture
def span(store, recorder):
    recorder.register("E1")
    with store.engine.connect() as connection:
        installation_id = connection.scalar(select(core(Installation).c.id))

    def of(from_cycle=1, to_cycle=CYCLE_MAX, buckets=500):
        return BucketSpan(1, installation_id, from_cycle, to_cycle, buckets)

    return of


values = st.none() | st.floats(min_value=-1000, max_value=1000)
lives = st.dictionaries(st.integers(1, 300), values, min_size=1, max_size=30)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(life=lives, buckets=st.integers(1, 40), start=st.integers(1, 100), end=st.integers(50, 300))
def test_each_bucket_sums_up_its_rows(life, buckets, start, end, store, span, recorder, deliver):
    with store.writing() as connection:
        for table in (Telemetry, Receipt, TakenCycles):
            connection.execute(delete(core(table)))
    deliver({seq: recorder.row("E1", cycle, {CHANNEL: value}) for seq, (cycle, value) in enumerate(life.items(), 1)})
    with store.session() as session:
        found = sum_up_telemetry(session, span(start, end, buckets), [CHANNEL, "other"])
    wanted = {cycle for cycle in life if start <= cycle <= end}
    assert len(found) <= buckets
    assert sum(one.rows for one in found) == len(wanted)
    for one in found:
        cycles = {cycle for cycle in wanted if one.first_cycle <= cycle <= one.last_cycle}
        inside = [life[cycle] for cycle in cycles if life[cycle] is not None]
        assert one.rows == len(cycles)
        extent = one.extents[CHANNEL]
        if inside:
            assert astuple(extent) == pytest.approx((min(inside), max(inside), fmean(inside)), abs=1e-6)
        else:
            assert extent is None
        assert one.extents["other"] is None


def test_predictions_are_summed_up_by_quantile(store, span, recorder, deliver):
    deliver({cycle: recorder.prediction("E1", cycle, q50=100.0 - cycle, spread=10) for cycle in range(1, 11)})
    with store.session() as session:
        first, second = sum_up_predictions(session, span(buckets=2))
    assert (first.first_cycle, first.last_cycle, first.rows) == (1, 5, 5)
    assert first.extents["rul_q50_cycles"] == Extent(95.0, 99.0, 97.0)
    assert second.extents["rul_q05_cycles"] == Extent(80.0, 84.0, 82.0)


def test_where_nothing_was_recorded_there_are_no_buckets(store, span):
    with store.session() as session:
        assert sum_up_predictions(session, span()) == []


@pytest.mark.parametrize("table", [Telemetry, Prediction])
def test_only_the_wanted_installation_counts(store, span, recorder, deliver, table):
    deliver({1: recorder.row("E1", 1), 2: recorder.prediction("E1", 1)})
    other = BucketSpan(1, "another", 1, CYCLE_MAX, 500)
    with store.session() as session:
        found = sum_up_predictions(session, other) if table is Prediction else sum_up_telemetry(session, other, ["T24"])
    assert found == []
