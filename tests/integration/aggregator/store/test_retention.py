"""What is too old is summed up by day and deleted: nothing is lost from the sums, counted twice, or in the way."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from threading import Event

import msgspec
import pytest
from msgspec.structs import astuple
from sqlalchemy import select, text

from aggregator.store.arrivals import Answer
from aggregator.store.database import StoreError
from aggregator.store.lease import LEASE, end_lease, take_lease
from aggregator.store.partitions import make_partitions
from aggregator.store.reads.buckets import BucketSpan, sum_up_predictions, sum_up_telemetry
from aggregator.store.retention import TASK, Retention, count_prunable, prune
from aggregator.store.tables import DayRollUp, Installation, Prediction, Telemetry, core

DAY_S = 86_400
DAYS, ROWS_A_DAY = 40, 10
TWENTY_DAYS = Retention(telemetry_days=20, predictions_days=20)
# Of 400 cycles the first 50 stay in any case, and so does what came in the last 20 days.
KEPT = [*range(1, 51), *range(201, 401)]
PRUNED = range(51, 201)


@pytest.fixture
def day_of_records(recorder, clock):
    """What an engine does in a day that ends now, by seq."""

    def make(first_cycle):
        records = {}
        for cycle in range(first_cycle, first_cycle + ROWS_A_DAY):
            at = clock.in_(first_cycle + ROWS_A_DAY - cycle - 3600)
            row = recorder.row("E1", cycle, {"T24": float(cycle % 7), "P30": None if cycle % 3 else 5.0})
            prediction = recorder.prediction("E1", cycle, q50=500.0 - cycle, spread=10)
            records[2 * cycle - 1] = msgspec.structs.replace(row, observed_at=at)
            records[2 * cycle] = msgspec.structs.replace(prediction, observed_at=at)
        return records

    return make


@pytest.fixture
def life(recorder, deliver, day_of_records, clock, store):
    """Lets an engine do so much each day, and returns what it sent."""
    make_partitions(store, clock())
    recorder.register("E1")
    sent = {}
    for day in range(DAYS):
        clock.advance(DAY_S)
        records = day_of_records(day * ROWS_A_DAY + 1)
        deliver(records)
        sent |= records
    clock.advance(60)
    return sent


@pytest.fixture
def sums(store):
    """The history of the only engine as so many points."""

    def read(buckets=1, from_cycle=1, to_cycle=10_000, since=None, until=None):
        with store.session() as session:
            installation_id = session.connection().scalar(select(core(Installation).c.id))
            span = BucketSpan(1, installation_id, from_cycle, to_cycle, buckets, since, until)
            return sum_up_telemetry(session, span, ["T24", "P30"]) + sum_up_predictions(session, span)

    return read


@pytest.fixture
def cycles(rows):
    def read(table):
        return sorted(row["cycle"] for row in rows(table))

    return read


def assert_same(found, wanted):
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert (one.first_cycle, one.last_cycle, one.rows) == (other.first_cycle, other.last_cycle, other.rows)
        for name, extent in other.extents.items():
            assert astuple(one.extents[name]) == pytest.approx(astuple(extent))


def test_old_records_go_and_the_history_as_few_points_stays(store, life, clock, sums, cycles, rows):
    before = sums()
    expected = dict.fromkeys(("telemetry", "prediction"), len(PRUNED))
    assert count_prunable(store, TWENTY_DAYS, clock()) == expected
    assert prune(store, TWENTY_DAYS, "me", clock) == expected

    assert cycles(Telemetry) == cycles(Prediction) == KEPT
    assert_same(sums(), before)
    days = [row for row in rows(DayRollUp) if row["kind"] == "telemetry"]
    assert [
        (row["first_cycle"], row["last_cycle"], row["rows"]) for row in sorted(days, key=lambda row: row["day"])
    ] == [(first, first + 9, 10) for first in range(51, 201, 10)]
    assert all(row["quantities"]["T24"][0] == 10 for row in days)
    assert prune(store, TWENTY_DAYS, "me", clock) == dict.fromkeys(expected, 0)


def test_days_are_found_by_time(store, life, clock, sums):
    midnight = clock().replace(hour=0, minute=0, second=0)
    began, ended = midnight - timedelta(days=28), midnight - timedelta(days=3)
    before = sums(25, since=began, until=ended), sums(29, since=began)
    assert [len(each) for each in before] == [2 * 25, 2 * 29]
    prune(store, TWENTY_DAYS, "me", clock)
    assert_same(sums(25, since=began, until=ended), before[0])
    assert_same(sums(29, since=began), before[1])
    (early, _) = sums(until=began)
    assert (early.first_cycle, early.last_cycle) == (1, before[0][0].first_cycle - 1)


def test_each_day_stays_a_point(store, life, clock, sums):
    before = sums(DAYS)
    prune(store, TWENTY_DAYS, "me", clock)
    assert_same(sums(DAYS), before)
    assert_same(sums(4, 51, 90), before[5:9] + before[DAYS + 5 : DAYS + 9])


def test_without_a_setting_nothing_goes(store, life, clock):
    clock.advance(10_000 * DAY_S)
    assert prune(store, Retention(), "me", clock) == {}
    assert prune(store, Retention(predictions_days=1), "me", clock) == {"prediction": DAYS * ROWS_A_DAY - 150}


def test_p2_what_was_pruned_and_comes_again_changes_nothing(store, life, clock, deliver, sums, cycles):
    before = sums()
    prune(store, TWENTY_DAYS, "me", clock)
    assert deliver(life) == Answer(committed=set(life))
    assert deliver(life, stream="renumbered") == Answer(committed=set(life))
    assert cycles(Telemetry) == cycles(Prediction) == KEPT
    clock.advance(100 * DAY_S)
    prune(store, TWENTY_DAYS, "me", clock)
    assert_same(sums(), before)


def test_rows_that_come_late_for_a_day_that_was_pruned_count_in_it(store, life, clock, deliver, recorder, sums, rows):
    prune(store, TWENTY_DAYS, "me", clock)
    day = min(row["day"] for row in rows(DayRollUp))
    late = recorder.row("E1", 1001, {"T24": 1000.0})
    late = msgspec.structs.replace(late, observed_at=life[2 * 51].observed_at)
    later = [msgspec.structs.replace(late, cycle=cycle, channels={"T24": 0.5}) for cycle in range(1002, 1102)]
    deliver(dict(enumerate([late, *later], 1)), stream="late")
    with_late = sums()
    clock.advance(30 * DAY_S)
    prune(store, TWENTY_DAYS, "me", clock)
    assert_same(sums(), with_late)
    (found,) = [row for row in rows(DayRollUp) if (row["kind"], row["day"]) == ("telemetry", day)]
    assert (found["rows"], found["quantities"]["T24"][2]) == (11, 1000.0)


def test_what_somebody_asked_for_is_no_part_of_the_sums(store, life, clock, deliver, recorder, sums):
    asked = recorder.prediction("E1", 100, q50=-999.0, spread=0, origin="command", request_id="r-1")
    deliver({1: asked}, stream="another")
    before = sums()
    clock.advance(100 * DAY_S)
    assert prune(store, TWENTY_DAYS, "me", clock)["prediction"] == DAYS * ROWS_A_DAY - 150 + 1
    assert_same(sums(), before)


def test_a_prune_that_is_stopped_goes_on_another_time(store, life, clock, sums, cycles):
    before, stop = sums(), Event()
    stop.set()
    assert prune(store, TWENTY_DAYS, "me", clock, stop) == {"telemetry": 0, "prediction": 0}
    assert len(cycles(Telemetry)) == DAYS * ROWS_A_DAY
    assert prune(store, TWENTY_DAYS, "another", clock)["telemetry"] == len(PRUNED)
    assert_same(sums(), before)


def test_records_are_taken_in_meanwhile(store, life, clock, deliver, recorder, sums):
    clock.advance(100 * DAY_S)
    pruned = Event()

    def keep_delivering():
        for cycle in count(1001):
            assert deliver({cycle: recorder.row("E1", cycle, {"T24": 1.0})}, stream="live") == Answer(committed={cycle})
            if pruned.wait(0.01):  # as ingest gathers: without a break nobody else gets to write
                return cycle - 1000

    with ThreadPoolExecutor(1) as threads:
        delivered = threads.submit(keep_delivering)
        try:
            prune(store, TWENTY_DAYS, "me", clock)
        finally:
            pruned.set()
    telemetry, _ = sums()
    assert telemetry.rows == DAYS * ROWS_A_DAY + delivered.result()


def test_only_one_prunes_at_a_time(store, life, clock, cycles):
    assert take_lease(store, TASK, "another", clock())
    with pytest.raises(StoreError, match="another aggregator is pruning"):
        prune(store, TWENTY_DAYS, "me", clock)
    assert len(cycles(Telemetry)) == DAYS * ROWS_A_DAY
    clock.advance(LEASE.total_seconds() + 1)
    assert prune(store, TWENTY_DAYS, "me", clock)["telemetry"] == len(PRUNED)
    assert take_lease(store, TASK, "another", clock())


def test_a_lease_is_renewed_by_its_holder_and_given_back_by_nobody_else(store, clock):
    assert [take_lease(store, "task", holder, clock()) for holder in ("a", "a", "b")] == [True, True, False]
    end_lease(store, "task", "b")
    assert not take_lease(store, "task", "b", clock())
    end_lease(store, "task", "a")
    assert take_lease(store, "task", "b", clock())


def test_of_many_only_one_gets_a_lease(store, clock, at_once):
    holders = [lambda name=name: take_lease(store, "task", name, clock()) for name in "abcdefgh"]
    assert sorted(at_once(*holders)) == [False] * 7 + [True]


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_months_that_are_over_are_dropped_and_what_is_kept_of_them_stays(store, life, clock, cycles, sums):
    before = sums()
    clock.advance(100 * DAY_S)
    prune(store, TWENTY_DAYS, "me", clock)
    with store.engine.connect() as connection:
        query = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'telemetry'::regclass ORDER BY 1"
        left = list(connection.scalars(text(query)))
    assert "telemetry_default" in left
    assert not {"telemetry_2026_11", "telemetry_2026_12", "telemetry_2027_01"} & set(left)
    assert cycles(Telemetry) == [*range(1, 51), *range(301, 401)]
    assert_same(sums(), before)
