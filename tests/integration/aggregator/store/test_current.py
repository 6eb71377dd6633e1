"""The current state moves only forward."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace
from sqlalchemy import insert, select, update

from aggregator.store.reads.buckets import BucketSpan, sum_up_predictions
from aggregator.store.reads.engine import latest_curve
from aggregator.store.reads.history import latest_prediction
from aggregator.store.tables import CurrentState, Engine, Gateway, Installation, Prediction, Telemetry, core


@pytest.fixture(autouse=True)
def _registered(recorder):
    recorder.register("E1")


@pytest.fixture
def state(rows):
    def read():
        (row,) = rows(CurrentState)
        return row["telemetry_cycle"], row["prediction_cycle"]

    return read


@pytest.fixture
def move(store, clock, recorder):
    """End the engine's installation and begin another at a second gateway."""

    def to(gateway):
        recorder.register("other", gateway=gateway)
        installation = core(Installation)
        now = clock() + timedelta(seconds=1)
        with store.writing() as connection:
            engine_id = connection.scalar(select(core(Engine).c.id).where(core(Engine).c.serial == "E1"))
            gateway_id = connection.scalar(select(core(Gateway).c.id).where(core(Gateway).c.name == gateway))
            connection.execute(
                update(installation).where(installation.c.engine_id == engine_id).values(installed_to=now)
            )
            connection.execute(
                insert(installation).values(
                    id="moved",
                    engine_id=engine_id,
                    gateway_id=gateway_id,
                    position="right",
                    installed_from=now,
                )
            )

    return to


def test_each_half_is_that_of_the_highest_seq(deliver, recorder, state):
    rows = {3: recorder.row("E1", 2), 1: recorder.row("E1", 1)}
    deliver(rows | {4: recorder.prediction("E1", 2), 2: recorder.prediction("E1", 1)})
    assert state() == (2, 2)


def test_a_late_record_does_not_move_it_back(deliver, recorder, state):
    deliver({3: recorder.row("E1", 2), 4: recorder.prediction("E1", 2)})
    deliver({1: recorder.row("E1", 1), 2: recorder.prediction("E1", 1)})
    assert state() == (2, 2)


def test_a_later_stream_goes_on_where_the_earlier_ended(deliver, recorder, state):
    deliver({100: recorder.row("E1", 50)})
    deliver({1: recorder.row("E1", 51)}, stream="stream-2")
    deliver({101: recorder.row("E1", 49)}, stream="stream-1")
    assert state() == (51, None)


def test_the_gateways_clock_does_not_matter(deliver, recorder, clock, state):
    deliver({1: recorder.row("E1", 1)})
    clock.at = datetime(1970, 1, 1, tzinfo=UTC)
    deliver({2: recorder.row("E1", 2, clock_unsynced=True)})
    assert state() == (2, None)


def test_of_two_installations_at_one_gateway_the_time_of_each_record_decides(deliver, recorder, clock, move, rows):
    early, late = clock(), clock() + timedelta(hours=1)
    move("gw-1")
    times = {1: early, 2: late, 3: early}
    deliver({cycle: replace(recorder.row("E1", cycle), observed_at=at) for cycle, at in times.items()})
    installations = {row["cycle"]: row["installation_id"] for row in rows(Telemetry)}
    assert installations[1] == installations[3] != installations[2] == "moved"
    assert rows(CurrentState)[0]["installation_id"] == "moved"


def test_a_new_installation_begins_anew_and_the_old_one_no_longer_counts(deliver, recorder, move, rows, state):
    deliver({7: recorder.row("E1", 70), 8: recorder.prediction("E1", 70)})
    move("gw-2")
    deliver({1: recorder.row("E1", 1)}, gateway="gw-2", stream="stream-2")
    assert state() == (1, None)
    deliver({9: recorder.row("E1", 71)})
    assert state() == (1, None)
    assert rows(CurrentState)[0]["installation_id"] == "moved"


def test_what_somebody_asked_for_is_history_and_never_the_state(store, deliver, recorder, rows, state):
    asked = recorder.prediction("E1", 1, q50=5, origin="command", request_id="r-1")
    deliver({1: recorder.prediction("E1", 1), 2: asked})
    deliver({3: recorder.prediction("E1", 3, q50=5, origin="command", request_id="r-2")})
    assert state() == (None, 1)
    assert rows(CurrentState)[0]["rul_q50_cycles"] == 80
    with store.session() as session:
        current = session.get(CurrentState, 1)
        prediction, _ = latest_prediction(session, current)
        assert (prediction.origin, len(latest_curve(session, current, 9))) == ("edge", 1)
        span = BucketSpan(1, current.installation_id, 1, 99, 10)
        assert [bucket.rows for bucket in sum_up_predictions(session, span)] == [1]
    assert len(rows(Prediction)) == 3


def test_a_prediction_by_command_alone_makes_no_state(deliver, recorder, rows):
    deliver({1: recorder.prediction("E1", 1, origin="command", request_id="r-1")})
    assert rows(CurrentState) == []
