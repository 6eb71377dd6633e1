"""One batch in one transaction: exactly once in effect, bad input set aside with its reason."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import msgspec
import pytest
import structlog

from aggregator.ingest.intake import arrive
from aggregator.store.arrivals import Answer, DeferredArrival, MalformedArrival
from aggregator.store.commit import commit
from aggregator.store.database import Store
from aggregator.store.tables import (
    CurrentState,
    GapRecord,
    Model,
    Prediction,
    Quarantine,
    Receipt,
    Stream,
    Telemetry,
)
from shared.messages import Gap
from shared.topics import GatewayTopic


@pytest.fixture(autouse=True)
def _registered(recorder):
    recorder.register("E1")


def test_new_records_are_written_and_answered_as_committed(deliver, recorder, rows, receipts):
    telemetry, prediction = recorder.row("E1", 1, refusal=None), recorder.prediction("E1", 1)

    assert deliver({1: telemetry, 2: prediction}) == Answer(committed={1, 2})

    (row,) = rows(Telemetry)
    assert (row["cycle"], row["channels"], row["observed_at"]) == (1, telemetry.channels, telemetry.observed_at)
    (row,) = rows(Prediction)
    assert (row["rul_q05_cycles"], row["rul_q95_cycles"], row["input"]) == (60.0, 100.0, prediction.input)
    assert receipts() == [(1, None), (2, None)]


def test_a_null_channel_stays_null(deliver, recorder, rows):
    deliver({1: recorder.row("E1", 1, {"T24": None, "P30": 1.5})})
    (row,) = rows(Telemetry)
    assert row["channels"] == {"T24": None, "P30": 1.5}


def test_a_repeat_is_committed_again_and_written_once(store, envelope, recorder, counts, receipts):
    arrival = envelope({1: recorder.row("E1", 1), 2: recorder.prediction("E1", 1)})
    first, second = commit(store, [arrival, arrival]), commit(store, [arrival])

    assert first.answers == second.answers
    assert (first.committed_records, first.duplicate_records) == (2, 2)
    assert (second.committed_records, second.duplicate_records) == (0, 2)
    assert counts(Telemetry, Prediction, Model) == [1, 1, 1]
    assert receipts() == [(1, None), (2, None)]


def test_another_record_under_a_known_seq_refuses_the_stream_for_ever(deliver, recorder, counts, rows):
    deliver({1: recorder.row("E1", 1)})

    answer = deliver({1: recorder.row("E1", 99), 2: recorder.row("E1", 2)})
    assert answer == Answer(conflict="seq 1 came again with other content")
    assert deliver({3: recorder.row("E1", 3)}) == answer
    assert deliver({1: recorder.row("E1", 1)}) == answer
    assert counts(Telemetry, Receipt) == [1, 1]
    assert rows(Stream)[0]["conflict"] == answer.conflict


def test_two_records_under_one_seq_in_one_batch_refuse_the_stream(store, envelope, recorder, counts):
    arrivals = [envelope({1: recorder.row("E1", cycle)}) for cycle in (1, 2)]
    (answer,) = commit(store, arrivals).answers.values()
    assert answer.conflict
    assert counts(Telemetry, Receipt) == [0, 0]


def test_a_conflict_leaves_other_streams_alone(store, envelope, recorder, counts):
    arrivals = [
        envelope({1: recorder.row("E1", 1)}),
        envelope({1: recorder.row("E1", 2)}),
        envelope({1: recorder.row("E1", 3)}, stream="stream-2"),
    ]
    answers = {stream: answer for (_, stream), answer in commit(store, arrivals).answers.items()}
    assert answers["stream-2"] == Answer(committed={1})
    assert counts(Telemetry) == [1]


def test_a_renumbered_record_is_committed_and_not_written_twice(deliver, recorder, counts, receipts, clock):
    deliver({1: recorder.row("E1", 1), 2: recorder.prediction("E1", 1)})
    telemetry, prediction = recorder.row("E1", 1), recorder.prediction("E1", 1)
    again = msgspec.structs.replace(prediction, predicted_at=clock() + timedelta(hours=1))

    assert deliver({1: telemetry, 2: again}, stream="stream-2") == Answer(committed={1, 2})
    assert counts(Telemetry, Prediction) == [1, 1]
    assert receipts() == [(1, None), (2, None)] * 2


@pytest.mark.parametrize("kind", ["telemetry", "prediction"])
def test_other_content_about_a_known_subject_is_quarantined(kind, deliver, recorder, rows):
    known = {"telemetry": recorder.row("E1", 1), "prediction": recorder.prediction("E1", 1, q50=80)}[kind]
    other = {"telemetry": recorder.row("E1", 1, {"T24": 1}), "prediction": recorder.prediction("E1", 1, q50=70)}[kind]
    deliver({1: known})

    reason = f"{kind} of engine E1, cycle 1, is already stored with other content"
    assert deliver({2: other}) == Answer(quarantined={2: reason})
    (kept,) = rows(Quarantine)
    assert (kept["seq"], kept["reason"], kept["stream_id"], kept["gateway"]) == (2, reason, "stream-1", "gw-1")


def test_predictions_of_one_cycle_by_two_models_or_requests_stand_beside_each_other(deliver, recorder, counts):
    edge = recorder.prediction("E1", 1)
    asked = msgspec.structs.replace(edge, origin="command", request_id="r-1")
    newer = msgspec.structs.replace(edge, model=msgspec.structs.replace(edge.model, version="2"))
    assert deliver({1: edge, 2: asked, 3: newer}) == Answer(committed={1, 2, 3})
    assert counts(Prediction, Model) == [3, 2]


def test_a_record_that_breaks_the_contract_is_kept_once_and_answered_each_time(deliver, recorder, rows):
    answer = Answer(committed={1}, quarantined={2: "bad: {}"})
    for _ in range(2):
        assert deliver({1: recorder.row("E1", 1), 2: "{}"}) == answer
    (kept,) = rows(Quarantine)
    assert (kept["body"], kept["reason"]) == (b"{}", "bad: {}")


@pytest.mark.parametrize(
    ("engine", "place", "reason"),
    [
        (
            "E9",
            {},
            "engine E9 is not registered; register it: later records are taken then, and this one if it is redriven",
        ),
        ("E2", {}, "engine E2 is not installed at gateway gw-1; enter its installation, and redrive this record"),
        ("E1", {"gateway": "gw-9"}, "gateway gw-9 is not registered"),
        ("E1", {"site": "kiel"}, "gateway gw-1 is registered at site hamburg, not at kiel"),
    ],
)
def test_nobody_speaks_for_another(engine, place, reason, deliver, recorder, rows, counts):
    recorder.register("E2", gateway="gw-2")
    for _ in range(2):
        assert deliver({7: recorder.row(engine, 1)}, **place) == Answer(quarantined={7: reason})
    assert [(kept["seq"], kept["reason"]) for kept in rows(Quarantine)] == [(7, reason)]
    assert counts(Telemetry, CurrentState) == [0, 0]


def test_p8_an_installation_elsewhere_is_refused_and_the_right_one_taken(deliver, recorder, rows):
    recorder.register("E8", gateway="gw-2")
    deliver({1: recorder.row("E1", 1)})
    deliver({1: recorder.row("E8", 1)}, gateway="gw-2", stream="stream-2")
    right, foreign = (row["installation_id"] for row in rows(Telemetry))
    records = {2: recorder.row("E1", 2, installation_id=right), 3: recorder.row("E1", 3, installation_id=foreign)}
    answer = deliver(records | {4: recorder.row("E8", 2, installation_id=foreign)})
    assert (answer.committed, answer.quarantined.keys()) == ({2}, {3, 4})
    assert answer.quarantined[3].startswith(f"engine E1 at gateway gw-1 has no installation {foreign!r}; if it was")


def test_p4_a_reason_that_quotes_a_record_stays_short_in_the_ledger_which_keeps_it_for_ever(
    deliver, recorder, receipts, rows
):
    (reason,) = deliver({1: recorder.row("E1", 1, installation_id="x" * 100_000)}).quarantined.values()
    assert len(reason) == 1000
    assert receipts() == [(1, reason)]
    assert rows(Quarantine)[0]["reason"] == reason


def test_a_gap_is_noted_once_under_its_own_id(deliver, clock, rows):
    gap = Gap(gap_id="g-1", ranges=[(3, 9), (12, 12)], reason="disk full", noticed_at=clock())
    assert deliver({13: gap, 14: gap}) == Answer(committed={13, 14})
    assert deliver({1: gap}, stream="stream-2") == Answer(committed={1})
    (row,) = rows(GapRecord)
    assert (row["ranges"], row["reason"], row["seq"]) == ([[3, 9], [12, 12]], "disk full", 13)


def test_a_malformed_message_is_kept_once_and_cannot_be_answered(store, rows, clock):
    for topic in ("spoolwatch/v1/hamburg/gw-1/records", "spoolwatch/v1/ham burg/gw-1/records"):
        for _ in range(2):
            outcome = commit(store, [MalformedArrival(topic, b"\xff", "not JSON", clock())])
            assert (outcome.answers, outcome.quarantined_records) == ({}, 1)
    kept = [(one["site"], one["gateway"], one["body"], one["seq"]) for one in rows(Quarantine)]
    assert kept == [("hamburg", "gw-1", b"\xff", None), ("", "", b"\xff", None)]


def test_a_deferred_envelope_is_answered_and_nothing_is_written(store, counts):
    topic = GatewayTopic("hamburg", "gw-1", "records")
    (answer,) = commit(store, [DeferredArrival(topic, "stream-1", [1, 2], "too new")]).answers.values()
    assert answer == Answer(deferred={1: "too new", 2: "too new"})
    assert counts(Receipt, Quarantine, Stream) == [0, 0, 0]


def test_answers_go_to_the_gateways_ack_topic(store, envelope, recorder):
    outcome = commit(store, [envelope({1: recorder.row("E1", 1)}, kind="backfill")])
    assert list(outcome.answers) == [(GatewayTopic("hamburg", "gw-1", "ack"), "stream-1")]


def test_what_the_database_refuses_is_quarantined_alone(store, envelope, recorder, counts, rows, receipts):
    prediction = recorder.prediction("E1", 2)
    huge = msgspec.structs.replace(prediction.window, rows=2**70)
    poison = msgspec.structs.replace(prediction, window=huge)
    arrivals = [
        envelope({1: recorder.row("E1", 1), 2: recorder.row("E1", 2), 3: poison, 4: recorder.row("E1", 4)}),
        envelope({5: recorder.row("E1", 5)}),
    ]
    (answer,) = commit(store, arrivals).answers.values()
    assert answer.committed == {1, 2, 4, 5}
    assert answer.quarantined.keys() == {3}
    assert "the store cannot take it" in rows(Quarantine)[0]["reason"]
    assert counts(Telemetry, Prediction) == [4, 0]
    assert [seq for seq, _ in receipts()] == [1, 2, 3, 4, 5]


def test_p10_a_reason_that_quotes_a_nul_character_stops_nothing(store, envelope, recorder, counts, rows, clock):
    """PostgreSQL refuses such a text, and a reason is all that is left to write of a message that is set aside."""
    topic = "spoolwatch/v1/hamburg/gw-%d/records"
    bad = arrive(topic % 1, b'{"v":1,"stream_id":"stream-1","records":[[2,{"kind":"a\\u0000b"}]]}', clock())
    worse = arrive(topic % 9, b'{"v":1,"x\\u0000":1}', clock())
    (answer,) = commit(store, [bad, worse, envelope({1: recorder.row("E1", 1)})]).answers.values()
    assert (answer.committed, answer.quarantined) == ({1}, {2: "Invalid value 'a?b' - at `$.kind`"})
    assert {kept["reason"] for kept in rows(Quarantine)} == {
        "Invalid value 'a?b' - at `$.kind`",
        "Object contains unknown field `x?`",
    }
    assert counts(Telemetry) == [1]


def test_p4_what_cannot_even_be_set_aside_is_dropped_told_of_and_stops_nothing(
    store, envelope, recorder, counts, clock
):
    hopeless = MalformedArrival("spoolwatch/v1/hamburg/gw-1/records", None, "no bytes", clock())
    with structlog.testing.capture_logs() as logs:
        outcome = commit(store, [envelope({1: recorder.row("E1", 1)}), hopeless, envelope({2: recorder.row("E1", 2)})])
    (answer,) = outcome.answers.values()
    assert (answer, outcome.unusable_messages) == (Answer(committed={1, 2}), 1)
    assert counts(Telemetry, Quarantine) == [2, 0]
    (told,) = [one for one in logs if one["event"] == "message_dropped"]
    assert (told["topic"], told["log_level"]) == ("spoolwatch/v1/hamburg/gw-1/records", "error")


def test_p10_what_is_too_long_for_an_index_stops_nothing(store, envelope, recorder, counts):
    long = recorder.prediction("E1", 1, request_id=secrets.token_hex(6000))
    outcome = commit(store, [envelope({1: recorder.row("E1", 1), 2: long, 3: recorder.row("E1", 3)})])
    (answer,) = outcome.answers.values()
    assert {1, 3} <= answer.committed
    assert {2} == {*answer.quarantined} | answer.committed - {1, 3}
    assert counts(Telemetry) == [2]


@pytest.mark.parametrize("trouble", [MemoryError(), OSError(28, "No space left on device")])
def test_p10_a_machine_in_trouble_blames_no_record(store, envelope, recorder, counts, monkeypatch, trouble):
    def fail(*_arguments, **_options):
        raise trouble

    batch = [envelope({1: recorder.row("E1", 1)})]
    with monkeypatch.context() as patch:
        patch.setattr("aggregator.store.commit.write", fail)
        with pytest.raises(type(trouble)):
            commit(store, batch)
    assert counts(Telemetry, Quarantine) == [0, 0]
    commit(store, batch)
    assert counts(Telemetry, Quarantine) == [1, 0]


def test_two_replicas_that_commit_the_same_at_once_write_it_once(store, envelope, recorder, counts, receipts):
    arrivals = [
        [envelope({2 * cycle: recorder.row("E1", cycle), 2 * cycle + 1: recorder.prediction("E1", cycle)})]
        for cycle in range(1, 21)
    ]
    replica = Store(store.engine.url.render_as_string())
    with ThreadPoolExecutor(2) as executor:
        outcomes = list(executor.map(lambda one: [commit(one, batch) for batch in arrivals], [store, replica]))
    replica.close()

    for of_replica in outcomes:
        assert all(not answer.quarantined for outcome in of_replica for answer in outcome.answers.values())
    assert sum(outcome.committed_records for of_replica in outcomes for outcome in of_replica) == 40
    assert counts(Telemetry, Prediction, Stream, Model, Quarantine) == [20, 20, 1, 1, 0]
    assert receipts() == [(seq, None) for seq in range(2, 42)]
