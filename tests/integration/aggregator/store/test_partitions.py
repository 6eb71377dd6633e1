"""Records of PostgreSQL lie by the month they were received in; what they are about is one key over all months."""

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from aggregator.store import partitions
from aggregator.store.arrivals import Answer
from aggregator.store.database import Store
from aggregator.store.partitions import drop_partitions, make_partitions
from aggregator.store.tables import Prediction, Telemetry

MONTH_S = 31 * 86_400


@pytest.fixture
def lies_in(store):
    """In which partition each row of a table lies, by cycle."""

    def read(table):
        with store.engine.connect() as connection:
            query = text(f"SELECT cycle, tableoid::regclass::text FROM {table} ORDER BY cycle")
            return [tuple(row) for row in connection.execute(query)]

    return read


@pytest.mark.parametrize("months", [0, 1, 30])
@pytest.mark.parametrize("kind", ["row", "prediction"])
def test_p2_what_came_months_ago_is_known_still(kind, months, deliver, recorder, clock, counts):
    recorder.register("E1")
    known = getattr(recorder, kind)("E1", 63)
    other = msgspec.structs.replace(known, observed_at=clock.in_(1))
    deliver({1: known})
    clock.advance(months * MONTH_S)
    assert deliver({1: known}, stream="stream-2") == Answer(committed={1})
    (reason,) = deliver({2: other}, stream="stream-2").quarantined.values()
    assert reason.endswith("of engine E1, cycle 63, is already stored with other content")
    assert sum(counts(Telemetry, Prediction)) == 1


def test_p2_what_was_pruned_is_acknowledged_and_does_not_come_back(store, deliver, recorder, counts, clock, capsys):
    """Its content went with it, so nobody can tell whether what comes is the same; that it came is logged."""
    recorder.register("E1")
    records = {1: recorder.row("E1", 1), 2: recorder.prediction("E1", 1)}
    deliver(records)
    with store.writing() as connection:
        for table in ("telemetry", "prediction"):
            connection.execute(text(f"DELETE FROM {table}"))
    other = msgspec.structs.replace(records[1], observed_at=clock.in_(1))
    assert deliver(records, stream="stream-2") == Answer(committed={1, 2})
    assert deliver({1: other}, stream="stream-3") == Answer(committed={1})
    assert capsys.readouterr().out.count("records_of_pruned_cycles_not_compared") == 2
    assert deliver({3: recorder.row("E1", 2)}, stream="stream-2") == Answer(committed={3})
    assert counts(Telemetry, Prediction) == [1, 0]


def test_two_records_about_the_same_in_one_envelope_count_once(deliver, recorder, counts):
    recorder.register("E1")
    one = recorder.row("E1", 1)
    assert deliver({1: one, 2: one}) == Answer(committed={1, 2})
    assert counts(Telemetry) == [1]


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
class TestServer:
    def test_a_record_lies_in_the_month_it_was_received_in(self, store, deliver, recorder, clock, lies_in):
        recorder.register("E1")
        make_partitions(store, clock())
        old = msgspec.structs.replace(recorder.row("E1", 1), observed_at=clock.in_(-50 * MONTH_S))
        deliver({1: old, 2: recorder.prediction("E1", 1)})
        assert lies_in("telemetry") == [(1, "telemetry_2026_11")]
        assert lies_in("prediction") == [(1, "prediction_2026_11")]

    def test_what_no_month_was_made_for_moves_there_once_it_is(self, store, deliver, recorder, clock, lies_in):
        recorder.register("E1")
        clock.advance(30 * MONTH_S)
        deliver({1: recorder.row("E1", 1)})
        clock.advance(MONTH_S)
        deliver({2: recorder.row("E1", 2)})
        assert lies_in("telemetry") == [(1, "telemetry_default"), (2, "telemetry_default")]
        made = make_partitions(store, clock.in_(-MONTH_S))
        assert made == [f"{table}_2029_{month:02}" for table in ("telemetry", "prediction") for month in range(6, 10)]
        assert lies_in("telemetry") == [(1, "telemetry_2029_06"), (2, "telemetry_2029_07")]
        assert make_partitions(store, clock.in_(-MONTH_S)) == []

    def test_a_month_that_is_over_is_dropped_and_what_is_kept_of_it_moves(
        self, store, deliver, recorder, clock, lies_in
    ):
        recorder.register("E1")
        make_partitions(store, clock())
        deliver({1: recorder.row("E1", 1)})
        assert drop_partitions(store, "telemetry", clock.in_(-MONTH_S)) == []
        assert drop_partitions(store, "telemetry", clock()) == []
        assert drop_partitions(store, "telemetry", clock.in_(MONTH_S)) == ["telemetry_2026_11"]
        deliver({2: recorder.row("E1", 2)})
        assert lies_in("telemetry") == [(1, "telemetry_default"), (2, "telemetry_default")]

    def test_a_month_of_which_much_is_kept_stays_and_the_others_go(
        self, store, deliver, recorder, clock, lies_in, monkeypatch, capsys
    ):
        monkeypatch.setattr(partitions, "LEFTOVERS_MAX", 2)
        recorder.register("E1")
        make_partitions(store, clock())
        deliver({seq: recorder.row("E1", seq) for seq in (1, 2, 3)})
        clock.advance(MONTH_S)
        deliver({seq: recorder.row("E1", seq) for seq in (4, 5)})
        assert drop_partitions(store, "telemetry", clock.in_(MONTH_S)) == ["telemetry_2026_12"]
        november, default = "telemetry_2026_11", "telemetry_default"
        assert lies_in("telemetry") == [(1, november), (2, november), (3, november), (4, default), (5, default)]
        assert capsys.readouterr().out.count("partitions_kept") == 1

    def test_what_waits_for_a_lock_gives_up_before_ingest_waits_behind_it(self, store, clock):
        make_partitions(store, clock())
        with store.engine.connect() as connection:
            connection.execute(text("SELECT count(*) FROM telemetry"))
            assert drop_partitions(store, "telemetry", clock.in_(MONTH_S)) == []
            with pytest.raises(OperationalError, match="lock timeout"):
                make_partitions(store, clock.in_(40 * MONTH_S))


def test_sqlite_has_no_partitions(tmp_path, clock):
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    assert make_partitions(store, clock()) == []
    assert drop_partitions(store, "telemetry", clock()) == []
    store.close()
