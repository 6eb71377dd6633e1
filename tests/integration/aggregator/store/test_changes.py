"""What has changed since a number: each thing once, as it is now, and nothing ever between two readings."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from aggregator.fleet.bands import THRESHOLDS
from aggregator.store.installations import remove
from aggregator.store.reads.changes import present, read_changes, read_fallen_silent
from aggregator.store.registry import edit_engine

EVERYTHING = 10_000


class Reader:
    """Reads on from where it was."""

    def __init__(self, store):
        self.store, self.at = store, 0

    def read(self, limit=EVERYTHING):
        with self.store.session() as session:
            changes = read_changes(session, self.at, present(session), limit, THRESHOLDS)
        self.at = changes.until
        return changes

    def serials(self, limit=EVERYTHING):
        return sorted(engine.serial for engine in self.read(limit).engines)


@pytest.fixture
def reader(store):
    reader = Reader(store)
    reader.read()
    return reader


def test_whatever_changes_an_engine_tells_of_it_once_as_it_is_now(reader, recorder, store, clock):
    recorder.register("E-1")
    assert reader.serials() == ["E-1"]
    recorder.send(recorder.row("E-1", 1), recorder.prediction("E-1", 1, q50=90.0))
    recorder.send(recorder.row("E-1", 2), recorder.prediction("E-1", 2, q50=80.0))
    (engine,) = reader.read().engines
    assert (engine.cycle, engine.rul.q50) == (2, 80.0)
    assert reader.serials() == []
    edit_engine(store, "E-1", {"type": "pump"}, clock())
    assert [engine.type for engine in reader.read().engines] == ["pump"]
    remove(store, "E-1", clock(), clock())
    assert [engine.gateway for engine in reader.read().engines] == [None]
    recorder.send(recorder.row("E-1", 1), recorder.row("E-9", 1))
    changes = reader.read()
    assert changes.engines == ()
    assert [(one.engine, one.messages) for one in changes.quarantined] == [("E-1", 1), ("E-9", 1)]


def test_a_status_tells_of_its_gateway_and_of_no_engine(reader, recorder, clock):
    recorder.engine("E-1")
    reader.read()
    clock.advance(10)
    recorder.status("heartbeat")
    changes = reader.read()
    (change,) = changes.gateways
    assert (change.gateway.name, change.serials) == ("gw-1", {"E-1"})
    assert change.last_record_at == clock.in_(-10)
    assert changes.engines == ()


def test_messages_that_are_set_aside_are_counted_by_gateway(reader, recorder):
    recorder.garbage(b"1{")
    recorder.garbage(b"2{")
    recorder.garbage(gateway="gw-2", site="bremen")
    told = [(one.site, one.gateway, one.engine, one.messages) for one in reader.read().quarantined]
    assert told == [("bremen", "gw-2", None, 1), ("hamburg", "gw-1", None, 2)]
    assert reader.read().quarantined == []


@pytest.mark.parametrize("limit", [0, 1, 2, 5])
def test_in_portions_everything_is_told_once_and_each_transaction_whole(reader, recorder, limit):
    for number in range(5):
        recorder.register(f"E-{number}")
    reader.read()
    recorder.send(*(recorder.row(f"E-{number}", 1) for number in (3, 4)))
    for number in range(3):
        recorder.send(recorder.row(f"E-{number}", 1))
    portions = []
    while sum(map(len, portions)) < 5:
        portions.append(reader.serials(limit))
        assert len(portions) < 100
    assert sorted(serial for portion in portions for serial in portion) == [f"E-{number}" for number in range(5)]
    assert [serial for serial in next(one for one in portions if one) if serial in ("E-3", "E-4")] == ["E-3", "E-4"]
    assert reader.serials() == []


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)  # SQLite has one writer at a time
def test_who_commits_first_though_it_began_later_is_told_of_no_sooner(store, reader, recorder):
    recorder.register("E-1")
    recorder.register("E-2")
    reader.read()
    with store.engine.connect() as earlier:
        earlier.execute(text("UPDATE engine SET type = 'pump', changed = CAST(pg_current_xact_id() AS text)::bigint"))
        recorder.status("birth")
        assert reader.read().gateways == []
        earlier.commit()
    changes = reader.read()
    assert [engine.type for engine in changes.engines] == ["pump", "pump"]
    assert [one.gateway.name for one in changes.gateways] == ["gw-1"]


def test_who_falls_silent_is_told_of_though_nothing_was_written(store, recorder, clock):
    recorder.engine("E-1")
    recorder.status("heartbeat")
    heard_at = clock()

    def fallen(since_s, until_s):
        since, until = (heard_at + timedelta(seconds=each) for each in (since_s, until_s))
        with store.session() as session:
            return [one.gateway.name for one in read_fallen_silent(session, since, until)]

    assert fallen(0, 24) == []
    assert fallen(24, 25) == ["gw-1"]
    assert fallen(25, 1000) == []


def test_of_what_was_there_before_nothing_is_told(store, recorder, clock):
    recorder.engine("E-1")
    with store.session() as session:
        at = present(session)
        assert read_changes(session, at, present(session), EVERYTHING, THRESHOLDS).engines == ()
