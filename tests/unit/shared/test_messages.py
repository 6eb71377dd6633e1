import json
import math
from datetime import UTC, datetime
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import messages as m
from shared.errors import MessageError
from shared.ranges import as_ranges, in_ranges

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SHA256 = "0" * 64


def telemetry(**changes):
    return m.Telemetry(**({"engine": "E-1", "cycle": 7, "observed_at": NOW, "channels": {"T24": 642.1}} | changes))


def prediction(**changes):
    fields = {
        "engine": "E-1",
        "cycle": 7,
        "observed_at": NOW,
        "predicted_at": NOW,
        "rul_cycles": m.RulCycles(mean=50.0, q05=30.0, q50=49.0, q95=80.0),
        "cap_cycles": 125.0,
        "model": m.ModelRef(name="turbofan", version="1.0.0", sha256=SHA256),
        "runtime": "tflite-runtime 2.14.0",
        "window": m.Window(first_cycle=1, last_cycle=7, rows=7),
        "input": b"\x00\x7f\x80",
    }
    return m.Prediction(**(fields | changes))


@pytest.mark.parametrize(
    "record",
    [
        telemetry(),
        telemetry(flags={"T24": ["missing"]}, refusal="too little", clock_unsynced=True, installation_id="i"),
        prediction(),
        prediction(origin="command", request_id="r", flags={"T30": ["missing"]}),
        m.Gap(gap_id="g", ranges=[(1, 5)], reason="outbox full", noticed_at=NOW),
    ],
)
def test_a_record_survives_the_wire(record):
    assert m.decode_record(m.encode(record)) == record


def test_nan_is_null_on_the_wire():
    body = m.encode(telemetry(channels={"T24": math.nan, "T30": 1.5}))
    assert json.loads(body)["channels"] == {"T24": None, "T30": 1.5}
    assert m.decode_record(body).channels == {"T24": None, "T30": 1.5}


def test_the_input_tensor_is_base64_on_the_wire():
    assert json.loads(m.encode(prediction()))["input"] == "AH+A"


def test_an_envelope_carries_record_bytes_verbatim():
    body = b'{ "kind":"telemetry" , "odd": [ 1 ] }'
    opened = m.decode_envelope(m.envelope("s", [(1, body), (9, body)]))
    assert [(seq, bytes(raw)) for seq, raw in opened.records] == [(1, body), (9, body)]


def test_an_envelope_of_a_later_version_is_let_through_for_the_centre_to_defer():
    opened = m.decode_envelope(b'{"v":2,"stream_id":"s","records":[[4,{"new":1}]],"added":true}')
    assert (opened.v, opened.stream_id, opened.records[0][0]) == (2, "s", 4)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"v":1}',
        b'{"v":1,"stream_id":"s","records":[[0,{}]]}',
        b'{"v":1,"stream_id":"s","records":[]}',
        b'{"v":2,"stream_id":"s","records":[],"added":true}',
        b'{"v":1,"stream_id":"s","records":[[1,{}]],"added":true}',
        b'{"v":1,"stream_id":"","records":[[1,{}]]}',
        b'{"v":"1","stream_id":"s","records":[[1,{}]]}',
    ],
)
def test_what_is_not_an_envelope_is_refused_with_its_reason(payload):
    with pytest.raises(MessageError, match=r"\w"):
        m.decode_envelope(payload)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"cycle": 0}, "cycle"),
        ({"engine": "a b"}, "engine"),
        ({"engine": "E-1\n"}, "engine"),
        ({"observed_at": "2026-01-02T03:04:05"}, "timezone"),
        ({"channels": {"T24": "hot"}}, "channels"),
        ({"unknown": 1}, "unknown"),
        ({"kind": "rumour"}, "rumour"),
    ],
)
def test_a_record_that_breaks_the_contract_is_refused_naming_the_field(changes, names):
    fields = json.loads(m.encode(telemetry())) | changes
    with pytest.raises(MessageError, match=names):
        m.decode_record(json.dumps(fields).encode())


@pytest.mark.parametrize(
    "changes",
    [
        {"engine": "a b"},
        {"model": {"name": "turbofan", "version": "1.0.0", "sha256": "A" * 64}},
        {"model": {"name": "turbofan", "version": "1.0.0", "sha256": "a" * 64 + "\n"}},
    ],
)
def test_a_prediction_must_name_its_engine_and_model_right(changes):
    fields = json.loads(m.encode(prediction())) | changes
    with pytest.raises(MessageError, match="sha256" if "model" in changes else "engine"):
        m.decode_record(json.dumps(fields).encode())


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"request_id": "x" * 201}, "request_id"),
        ({"installation_id": "x" * 201}, "installation_id"),
        ({"runtime": "x" * 201}, "runtime"),
        ({"model": {"name": "x" * 201, "version": "1.0.0", "sha256": SHA256}}, "model.name"),
        ({"model": {"name": "turbofan", "version": "x" * 201, "sha256": SHA256}}, "model.version"),
    ],
)
def test_a_name_has_200_characters_at_most(changes, names):
    """An index of a database takes no text of any length."""
    fields = json.loads(m.encode(prediction()))
    with pytest.raises(MessageError, match=rf"length <= 200 - at `\$\.{names}`"):
        m.decode_record(json.dumps(fields | changes).encode())
    m.decode_record(json.dumps(fields | {"request_id": "\U0001f6e9" * 200}).encode())


def test_other_messages_are_refused_with_their_reason():
    with pytest.raises(MessageError, match="stream_id"):
        m.decode(b'{"v":1}', m.Ack)
    with pytest.raises(MessageError, match="malformed"):
        m.decode(b"\xff", m.Ack)


@given(st.sets(st.integers(1, 60)))
def test_ranges_hold_exactly_the_seqs_they_were_made_of(seqs):
    ranges = as_ranges(seqs)
    assert {seq for seq in range(70) if in_ranges(seq, ranges)} == seqs
    assert all(before[1] + 1 < after[0] for before, after in pairwise(ranges))


def test_wire_types_do_not_change_once_made():
    with pytest.raises(AttributeError):
        telemetry().cycle = 8


def test_the_digest_tells_contents_apart():
    assert m.digest(b"a") == m.digest(msgspec.Raw(b"a")) != m.digest(b"b")
    assert len(m.digest(b"a")) == 16


@given(st.text(alphabet=st.characters(), max_size=2000))
def test_any_text_becomes_a_reason_that_can_be_sent(text):
    refused = m.Quarantined(seq=1, reason=m.as_reason(text))
    assert m.decode(m.encode(refused), m.Quarantined) == refused


def test_a_short_reason_stays_as_it_is_and_a_cut_one_shows_it():
    assert m.as_reason("no route") == "no route"
    assert m.as_reason("x" * 1001) == "x" * 999 + "…"
    assert m.as_reason("caf\udce9 \0") == "caf? ?"
