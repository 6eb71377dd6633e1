from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.ingest.intake import arrive
from aggregator.store.arrivals import DeferredArrival, EnvelopeArrival, MalformedArrival, StatusArrival
from shared.messages import (
    OutboxStatus,
    Session,
    SourceStatus,
    Status,
    Telemetry,
    digest,
    encode,
    envelope,
)

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
RECORDS = "spoolwatch/v1/hamburg/gw-1/records"
STATUS = "spoolwatch/v1/hamburg/gw-1/status"

ROW = encode(Telemetry(engine="E1", cycle=1, observed_at=NOW, channels={"T24": 641.5, "P30": None}))
PREDICTION = (
    b'{"kind":"prediction","engine":"E1","cycle":9,"observed_at":"2026-11-21T12:00:00Z",'
    b'"predicted_at":"2026-11-21T12:00:00Z","rul_cycles":{"mean":1,"q05":%s,"q50":2,"q95":3},"cap_cycles":125,'
    b'"model":{"name":"m","version":"1","sha256":"' + b"0" * 64 + b'"},"runtime":"r",'
    b'"window":{"first_cycle":1,"last_cycle":9,"rows":%s},"input":"AQ=="}'
)


def asked(fields):
    """A prediction that says who asked for it."""
    return (PREDICTION % (b"1", b"9"))[:-1] + b"," + fields + b"}"


def entry_of(body):
    arrival = arrive(RECORDS, b'{"v":1,"stream_id":"s","records":[[7,%s]]}' % body, NOW)
    assert isinstance(arrival, EnvelopeArrival)
    (entry,) = arrival.entries
    assert (entry.seq, entry.body, entry.digest) == (7, body, digest(body))
    return entry


def status(**fields):
    return encode(
        Status(
            **{
                "event": "birth",
                "session": Session(counter=1, boot_nonce="n"),
                "stream_id": "s",
                "next_seq": 1,
                "sent_at": NOW,
                "heartbeat_interval_s": 15.0,
                "agent_version": "0",
                "engines": ["E1"],
                "source": SourceStatus(kind="file", state="reading"),
                "outbox": OutboxStatus(),
                **fields,
            }
        )
    )


def test_a_good_envelope_yields_its_records_with_their_very_bytes():
    arrival = arrive(RECORDS, envelope("s", [(1, ROW)]), NOW)
    assert (arrival.stream_id, arrival.topic.gateway, arrival.received_at) == ("s", "gw-1", NOW)
    assert arrival.entries[0].record.channels == {"T24": 641.5, "P30": None}
    assert arrival.entries[0].body == ROW


def test_a_good_prediction_passes():
    assert entry_of(PREDICTION % (b"1", b"9")).record.window.rows == 9
    assert entry_of(asked(b'"origin":"command","request_id":"r"')).record.request_id == "r"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"5", "Expected `object`, got `int`"),
        (b'{"kind":"row"}', "Invalid value 'row' - at `$.kind`"),
        (ROW.replace(b'"cycle":1', b'"cycle":0'), "Expected `int` >= 1 - at `$.cycle`"),
        (ROW.replace(b"641.5", b"1e999"), "Number out of range - at `$.channels[...]`"),
        (ROW.replace(b"E1", b"E\\u0000"), "`engine` does not match"),
        (ROW.replace(b'"T24"', b'"T\\u0000"'), "a text holds a NUL character"),
        (ROW.replace(b"2026-11-21T12:00:00Z", b"0001-01-01T00:00:00+14:00"), "outside of the years 1 to 9999"),
        (
            ROW.replace(b"2026-11-21T12:00:00Z", b"2026-11-21T12:00:00"),
            "Expected `datetime` with a timezone component - at `$.observed_at`",
        ),
        (PREDICTION % (b"2.5", b"9"), "quantiles are out of order - at `$.rul_cycles`: 2.5, 2.0, 3.0"),
        (PREDICTION % (b"1", b"10"), "10 rows do not fit cycles 1 to 9 - at `$.window`"),
        (asked(b'"origin":"centre","request_id":"r"'), "a gateway makes no prediction of the origin 'centre'"),
        (asked(b'"origin":"replay","request_id":"r"'), "a gateway makes no prediction of the origin 'replay'"),
        (asked(b'"origin":"command"'), "has the id of the command - at `$.request_id`"),
        (asked(b'"request_id":"r"'), "has the id of the command - at `$.request_id`"),
    ],
)
def test_a_record_that_breaks_the_contract_stands_alone_with_its_reason(body, reason):
    entry = entry_of(body)
    assert entry.record is None
    assert reason in entry.reason


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        (RECORDS, b"\xff\x00", "malformed"),
        (RECORDS, b"", "truncated"),
        (RECORDS, b"[]", "Expected `object`, got `array`"),
        (RECORDS, b'{"v":1,"records":[[1,{}]]}', "missing required field `stream_id`"),
        (RECORDS, b'{"v":1,"stream_id":"s","records":[]}', "Expected `array` of length >= 1 - at `$.records`"),
        (RECORDS, b'{"v":1,"stream_id":"s","records":[[1,{}]],"x":1}', "unknown field `x`"),
        (RECORDS, b'{"v":1,"stream_id":"s\\u0000","records":[[1,{}]]}', "stream_id holds a NUL character"),
        (RECORDS, b" " * (256 * 1024 + 1), "an envelope of 262145 bytes; at most 262144 are allowed"),
        (RECORDS, envelope("s", [(seq, b"{}") for seq in range(1, 502)]), "an envelope of 501 records"),
        (RECORDS, b'{"v":1,"stream_id":"s","records":[[1,' + b"[" * 100_000, "nested too deeply"),
        ("spoolwatch/v1/ham burg/gw-1/records", b"{}", "'ham burg' is not a valid name"),
        ("spoolwatch/v1/h/gw\0/records", b"{}", "is not a valid name"),
        (STATUS, b"{}", "missing required field"),
        (STATUS, status(v=2), "status version 2 is unknown here"),
        (STATUS, status(session=Session(counter=2**63, boot_nonce="n")), "is no session counter"),
        (STATUS, status(session=Session(counter=1, boot_nonce="n" * 201)), "length <= 200 - at `$.session.boot_nonce`"),
        (STATUS, status(agent_version="\0"), "a text holds a NUL character"),
        (STATUS, status().replace(b"2026-11-21T12:00:00Z", b"9999-12-31T23:00:00-14:00"), "outside of the years"),
    ],
)
def test_a_message_that_cannot_be_used_is_kept_whole_with_its_reason(topic, payload, reason):
    arrival = arrive(topic, payload, NOW)
    assert isinstance(arrival, MalformedArrival)
    assert reason in arrival.reason
    assert arrival.body == payload
    assert "\0" not in arrival.topic


def test_a_reason_that_quotes_a_message_is_one_that_a_database_and_an_ack_can_hold():
    """The names of unknown fields, unknown kinds and numbers of versions are the sender's."""
    unknown = arrive(RECORDS, b'{"v":1,"x\\u0000":1}', NOW)
    assert unknown.reason == "Object contains unknown field `x?`"
    assert entry_of(b'{"kind":"a\\u0000b"}').reason == "Invalid value 'a?b' - at `$.kind`"
    assert len(arrive(RECORDS, b'{"v":1,"%s":1}' % (b"x" * 5000), NOW).reason) == 1000
    version = b"9" * 4000
    assert len(arrive(RECORDS, b'{"v":%s,"stream_id":"s","records":[[1,{}]]}' % version, NOW).reason) == 1000


def test_an_unknown_version_is_deferred_with_its_seqs():
    payload = b'{"v":2,"stream_id":"s","colour":"red","records":[[3,{"new":1}],[4,5]]}'
    arrival = arrive(RECORDS, payload, NOW)
    assert isinstance(arrival, DeferredArrival)
    assert (arrival.stream_id, arrival.seqs) == ("s", [3, 4])
    assert "envelope version 2 is unknown here" in arrival.reason


def test_a_status_is_decoded():
    arrival = arrive(STATUS, status(), NOW)
    assert isinstance(arrival, StatusArrival)
    assert arrival.status.session.counter == 1


@given(payload=st.binary(max_size=300), topic=st.sampled_from([RECORDS, STATUS, "spoolwatch/v1/a/b/c/d", ""]))
def test_no_bytes_make_it_fail(payload, topic):
    assert arrive(topic, payload, NOW)


@given(cut=st.integers(0, len(ROW)), junk=st.binary(max_size=8))
def test_no_damage_to_an_envelope_makes_it_fail(cut, junk):
    whole = envelope("s", [(1, ROW)])
    assert arrive(RECORDS, whole[:cut] + junk + whole[cut + 1 :], NOW)
