"""Redriving and discarding touch what was meant and nothing else, and turn no state back."""

from datetime import UTC, datetime

import pytest
from msgspec import Raw
from sqlalchemy import column, delete, insert, table, update
from sqlmodel import select

from aggregator.ingest import redrive as redrive_module
from aggregator.store.arrivals import MalformedArrival
from aggregator.store.commit import commit
from aggregator.store.database import Store
from aggregator.store.quarantine import discard
from aggregator.store.tables import CurrentState, Quarantine, Stream, Telemetry, core
from shared.messages import OutboxStatus, Resend, Session, SourceStatus, Status, encode
from shared.topics import GatewayTopic


def redrive(store, messages, now):
    """Where nobody cares what follows."""
    return redrive_module.redrive(store, messages, now, follow=lambda _: None)


@pytest.fixture
def quarantined(store):
    """Read the whole quarantine as the API hands it on, oldest first."""

    def read():
        with store.session() as session:
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
    as_it_was = table("quarantine", *(column(name, core(Quarantine).c[name].type) for name in message))
    with store.writing() as connection:
        connection.execute(insert(as_it_was), [message, message])
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


@pytest.fixture
def keep_malformed(store, clock, quarantined):
    """Set a whole message aside, as if an older version could not read it; returns it as it was kept."""

    def keep(message, kind="records", gateway="gw-1"):
        topic = str(GatewayTopic("hamburg", gateway, kind))
        commit(store, [MalformedArrival(topic, encode(message), "not readable then", clock())])
        return next(one for one in quarantined() if one.seq is None)

    return keep


def an_envelope(records, stream="stream-1"):
    return {"v": 1, "stream_id": stream, "records": [[seq, Raw(encode(record))] for seq, record in records.items()]}


def test_a_whole_message_whose_stream_is_refused_stays_with_the_reason(
    store, clock, recorder, deliver, keep_malformed, rows
):
    recorder.register("E1")
    deliver({1: recorder.row("E1", 1)})
    deliver({1: recorder.row("E1", 9)})
    message = keep_malformed(an_envelope({50: recorder.row("E1", 5)}))
    assert redrive(store, [message], clock()) == {message.id: "seq 1 came again with other content"}
    assert [kept["id"] for kept in rows(Quarantine)] == [message.id]


def test_the_status_of_an_unregistered_gateway_stays(store, clock, keep_malformed, rows):
    status = Status(
        event="birth",
        session=Session(counter=1, boot_nonce="n"),
        stream_id="stream-1",
        next_seq=1,
        sent_at=clock(),
        heartbeat_interval_s=15.0,
        agent_version="0.1.0",
        engines=[],
        source=SourceStatus(kind="file", state="reading"),
        outbox=OutboxStatus(),
    )
    message = keep_malformed(status, kind="status", gateway="gw-9")
    assert redrive(store, [message], clock()) == {message.id: "gateway gw-9 is not registered at site hamburg"}
    assert [kept["id"] for kept in rows(Quarantine)] == [message.id]


def test_a_whole_message_of_a_stream_that_was_left_turns_no_state_back_and_holds_none_up(
    store, clock, recorder, deliver, keep_malformed, rows
):
    recorder.register("E1")
    envelope = keep_malformed(an_envelope({1: recorder.row("E1", 1)}, stream="old"))
    clock.advance(60)
    deliver({1: recorder.row("E1", 10)}, stream="new")
    assert redrive(store, [envelope], clock()) == {envelope.id: None}
    deliver({2: recorder.row("E1", 11)}, stream="new")
    (state,) = rows(CurrentState)
    assert (state["telemetry_cycle"], state["telemetry_stream_ordinal"]) == (11, 2)
    assert {row["stream_id"]: row["ordinal"] for row in rows(Stream)} == {"old": 1, "new": 2}


def test_records_of_a_whole_message_have_a_fate_of_their_own(store, clock, recorder, keep_malformed, rows):
    recorder.register("E1")
    message = keep_malformed(an_envelope({1: recorder.row("E1", 1), 2: recorder.row("E2", 1)}))
    assert redrive(store, [message], clock()) == {message.id: None}
    assert [(kept["seq"], kept["engine"]) for kept in rows(Quarantine)] == [(2, "E2")]
    assert [row["cycle"] for row in rows(Telemetry)] == [1]


def test_what_a_redriven_birth_asks_of_its_gateway_is_seen_to(store, clock, recorder, deliver, keep_malformed):
    recorder.register("E1")
    deliver({1: recorder.row("E1", 1)})
    birth = Status(
        event="birth",
        session=Session(counter=1, boot_nonce="n"),
        stream_id="stream-1",
        next_seq=9,
        sent_at=clock(),
        heartbeat_interval_s=15.0,
        agent_version="0.1.0",
        engines=["E1"],
        source=SourceStatus(kind="file", state="reading"),
        outbox=OutboxStatus(),
        store_epoch="another",
        held=[(1, 8)],
    )
    epoch, followed = store.epoch(), []
    message = keep_malformed(birth, kind="status")
    assert redrive_module.redrive(store, [message], clock(), follow=followed.append) == {message.id: None}
    wanted = Resend(stream_id="stream-1", ranges=[(2, 8)], store_epoch=epoch)
    assert followed[0].orders == [(GatewayTopic("hamburg", "gw-1", "command"), wanted)]
