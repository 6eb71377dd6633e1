"""However envelopes are cut, repeated, reordered and batched, the store ends up the same."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from aggregator.store.arrivals import Outcome
from aggregator.store.commit import commit
from aggregator.store.tables import (
    CurrentState,
    GapRecord,
    MissingRange,
    Prediction,
    Quarantine,
    Table,
    Telemetry,
)
from shared.messages import Gap

STREAMS = (("gw-1", "E1"), ("gw-2", "E2"))
CYCLES = 4
LAST_SEQ = 2 * CYCLES + 2  # a row and a prediction per cycle, a gap, a record that is none
KEEP = {"engine", "gateway", "installation", "model", "audit_entry", "alembic_version", "store_fact"}

chunks = st.tuples(st.sampled_from(STREAMS), st.sets(st.integers(1, LAST_SEQ), min_size=1, max_size=LAST_SEQ))
batches = st.lists(st.lists(chunks, min_size=1, max_size=4), max_size=5)


@pytest.fixture
def stream(recorder, clock):
    """Every record of one stream by seq."""

    def records(engine):
        rows = [recorder.row(engine, cycle) for cycle in range(1, CYCLES + 1)]
        predictions = [recorder.prediction(engine, cycle) for cycle in range(1, CYCLES + 1)]
        gap = Gap(gap_id=f"gap-{engine}", ranges=[(90, 99)], reason="disk full", noticed_at=clock())
        steps = [record for step in zip(rows, predictions, strict=True) for record in step]
        return dict(enumerate([*steps, gap, "no record"], start=1))

    return records


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=batches, order=st.permutations([(one, seq) for one in STREAMS for seq in range(1, LAST_SEQ + 1)]))
def test_each_record_counts_exactly_once(batches, order, store, recorder, stream, envelope, rows, receipts):
    for gateway, engine in STREAMS:
        recorder.register(engine, gateway=gateway)
    universe = {one: stream(one[1]) for one in STREAMS}

    def arrival(one, seqs):
        return envelope({seq: universe[one][seq] for seq in seqs}, gateway=one[0], stream=f"stream of {one[0]}")

    total = Outcome()
    for batch in [*batches, *([(one, {seq})] for one, seq in order)]:
        total.add(commit(store, [arrival(one, seqs) for one, seqs in batch]))

    for answer in total.answers.values():
        assert answer.committed == set(range(1, LAST_SEQ))
        assert answer.quarantined.keys() == {LAST_SEQ}
    for table in (Telemetry, Prediction):
        found = sorted((row["engine_id"], row["cycle"]) for row in rows(table))
        assert found == [(engine, cycle) for engine in (1, 2) for cycle in range(1, CYCLES + 1)]
    assert [seq for seq, _ in receipts()] == list(range(1, LAST_SEQ + 1)) * 2
    assert (len(rows(GapRecord)), len(rows(MissingRange)), len(rows(Quarantine))) == (2, 2, 2)
    assert [(row["telemetry_cycle"], row["prediction_cycle"]) for row in rows(CurrentState)] == [(CYCLES, CYCLES)] * 2
    assert total.committed_records == 2 * (LAST_SEQ - 1)
    _empty(store)


def _empty(store):
    """For the next example: everything but the registry."""
    with store.writing() as connection:
        for table in reversed(Table.metadata.sorted_tables):
            if table.name not in KEEP:
                connection.execute(delete(table))
