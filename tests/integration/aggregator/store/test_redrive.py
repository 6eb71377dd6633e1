"""Redriving and discarding touch what was meant and nothing else, and turn no state back."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import delete, insert, update
from sqlmodel import Session, select

from aggregator.ingest.redrive import redrive
from aggregator.store.database import Store
from aggregator.store.quarantine import discard
from aggregator.store.tables import CurrentState, Quarantine, Stream, core


@pytest.fixture
def quarantined(store):
    """Read the whole quarantine as the API hands it on, oldest first."""

    def read():
        with Session(store.engine) as session:
            return session.exec(select(Quarantine).order_by(Quarantine.id)).all()

    return read


@pytest.fixture
def stale(store, clock, recorder, deliver, quarantined):
    """A message that was redriven after it was read."""
    recorder.register("E1")
    deliver({1: recorder.row("E2", 1)})
    (message,) = quarantined()
    recorder.register("E2")
    assert redrive(store, [message], clock()) == {message.id: None}
    return message


def test_an_id_of_the_quarantine_is_never_given_twice(stale, recorder, deliver, quarantined):
    deliver({2: recorder.row("E3", 1)})
    (message,) = quarantined()
    assert message.id > stale.id


def test_ids_are_kept_and_none_is_given_twice_after_the_migration(database_url):
    store = Store(database_url)
    store.migrate("0007")
    message = {"gateway": "gw-1", "site": "kiel", "topic": "t", "reason": "bad", "body": b"x", "digest": b"y"}
    message["received_at"] = datetime(2026, 11, 21, tzinfo=UTC)
    with store.writing() as connection:
        connection.execute(insert(core(Quarantine)), [message, message])
    store.migrate()
    with store.writing() as connection:
        connection.execute(delete(core(Quarantine)).where(core(Quarantine).c.id == 2))
        connection.execute(insert(core(Quarantine)), message)
        assert [*connection.scalars(select(core(Quarantine).c.id))] == [1, 3]
    store.close()


@pytest.mark.parametrize("act", [redrive, discard])
def test_what_has_the_id_of_a_message_that_is_gone_is_left_alone(act, stale, store, clock, recorder, deliver, rows):
    recorder.register("E4", gateway="gw-2", site="bremen")
    deliver({1: recorder.row("E3", 1)}, gateway="gw-2", site="bremen")
    with store.writing() as connection:
        connection.execute(update(core(Quarantine)).values(id=stale.id))
    assert not act(store, [stale] if act is redrive else stale, clock())
    assert [kept["engine"] for kept in rows(Quarantine)] == ["E3"]


def test_what_a_stream_left_behind_before_its_gateway_was_registered_turns_no_state_back(
    store, clock, recorder, deliver, quarantined, rows
):
    for stream, cycle in (("older", 1), ("old", 2)):
        deliver({1: recorder.row("E1", cycle)}, stream=stream)
        clock.advance(60)
    recorder.register("E1")
    deliver({1: recorder.row("E1", 10)}, stream="new")
    for message in reversed(quarantined()):
        assert redrive(store, [message], clock()) == {message.id: None}
    (state,) = rows(CurrentState)
    assert state["telemetry_cycle"] == 10
    deliver({2: recorder.row("E1", 11)}, stream="new")
    (state,) = rows(CurrentState)
    assert (state["telemetry_cycle"], state["telemetry_stream_ordinal"]) == (11, 3)
    assert {row["stream_id"]: row["ordinal"] for row in rows(Stream)} == {"older": 1, "old": 2, "new": 3}
