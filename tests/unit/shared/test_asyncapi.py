"""The AsyncAPI description holds together and says what the code does.

No maintained Python package brings AsyncAPI's own schema, so the rules relied on are held here one by one.
"""

import copy
import json
from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from shared import messages as m
from shared.asyncapi import document
from shared.errors import MessageError
from shared.topics import GatewayTopic, Kind, centre_status

DOCUMENT = document()
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STATUS = m.Status(
    event="birth",
    session=m.Session(counter=1, boot_nonce="n"),
    stream_id="s",
    next_seq=1,
    sent_at=NOW,
    heartbeat_interval_s=15,
    agent_version="1",
    engines=["E-1"],
    model=m.ModelRef(name="turbofan", version="1.0.0", sha256="0" * 64),
    source=m.SourceStatus(kind="file", state="reading"),
    outbox=m.OutboxStatus(),
    store_epoch="e",
    held=[(1, 9)],
)
ACK = m.Ack(
    stream_id="s",
    committed=[(1, 2)],
    quarantined=[m.Quarantined(seq=3, reason="why")],
    deferred=[m.Deferred(range=(4, 5), reason="why", retry_after_s=1)],
)
MESSAGES = [
    STATUS,
    ACK,
    m.CentreStatus(replica="a", accepting=True, store_epoch="e", sent_at=NOW),
    m.Command(
        command_id="c",
        site="hamburg",
        gateway="gw-7",
        issued_at=NOW,
        expires_at=NOW,
        order=m.Resend(stream_id="s", ranges=[(1, 2)], store_epoch="e"),
    ),
    m.Reply(command_id="c", outcome="done", stream_id="s", unavailable=[(1, 1)]),
]
RECORDS = [
    m.Telemetry(engine="E-1", cycle=7, observed_at=NOW, channels={"T24": 642.1}, flags={"T24": ["low"]}),
    m.Prediction(
        engine="E-1",
        cycle=7,
        observed_at=NOW,
        predicted_at=NOW,
        rul_cycles=m.RulCycles(mean=50.0, q05=30.0, q50=49.0, q95=80.0),
        cap_cycles=125.0,
        model=m.ModelRef(name="turbofan", version="1.0.0", sha256="0" * 64),
        runtime="tflite-runtime 2.14.0",
        window=m.Window(first_cycle=1, last_cycle=7, rows=7),
        input=b"\x00",
    ),
    m.Gap(gap_id="g", ranges=[(1, 5)], reason="full", noticed_at=NOW),
]


def parts(node):
    """Every (key, value) anywhere in a document."""
    if isinstance(node, list):
        for part in node:
            yield from parts(part)
    elif isinstance(node, dict):
        for key, value in node.items():
            yield key, value
            yield from parts(value)


def at(pointer):
    node = DOCUMENT
    for key in pointer.removeprefix("#/").split("/"):
        node = node[key]
    return node


def as_json(message):
    return json.loads(m.encode(message))


def test_every_topic_of_the_contract_is_a_channel():
    addresses = [channel["address"] for channel in DOCUMENT["channels"].values()]
    filled = [address.format(site="hamburg", gateway="gw-7", replica="a") for address in addresses]
    topics = [str(GatewayTopic("hamburg", "gw-7", kind)) for kind in get_args(Kind)]
    assert sorted(filled) == sorted([*topics, centre_status("a")])


def test_every_reference_leads_somewhere():
    references = [value for key, value in parts(DOCUMENT) if key == "$ref"]
    assert references
    for reference in references:
        assert at(reference)


def test_every_channel_has_one_sender_and_a_receiver_on_the_other_side():
    for name, channel in DOCUMENT["channels"].items():
        operations = [one for one in DOCUMENT["operations"].values() if one["channel"]["$ref"] == f"#/channels/{name}"]
        roles = {
            action: {one["tags"][0]["name"] for one in operations if one["action"] == action}
            for action in ("send", "receive")
        }
        assert len(roles["send"]) == 1
        assert roles["receive"] - roles["send"]
        for one in operations:
            assert one["bindings"]["mqtt"]["qos"] == 1
            assert [at(reference["$ref"]) for reference in one["messages"]] == list(channel["messages"].values())


def test_parameters_are_those_of_the_address():
    for channel in DOCUMENT["channels"].values():
        assert {f"{{{name}}}" for name in channel["parameters"]} == {
            level for level in channel["address"].split("/") if level.startswith("{")
        }


def test_every_message_says_what_it_is():
    for message in DOCUMENT["components"]["messages"].values():
        assert message["description"]
        assert message["contentType"] == "application/json"
    assert DOCUMENT["components"]["messages"]["Envelope"]["x-max-payload-bytes"] == 256 * 1024


def test_the_schemas_are_of_draft_7_on_which_asyncapi_builds():
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)
    later = {"prefixItems", "$defs", "unevaluatedProperties", "dependentRequired", "dependentSchemas", "minContains"}
    assert not later & {key for key, _ in parts(DOCUMENT["components"]["schemas"])}


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_what_the_code_says_is_of_the_contract(contract, message):
    assert contract.problems(type(message).__name__, as_json(message)) == []


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_an_envelope_is_of_the_contract_with_its_records(contract, record):
    envelope = json.loads(m.envelope("s", [(1, m.encode(record))]))
    assert contract.problems("Envelope", envelope) == []
    assert contract.problems("Envelope", envelope | {"records": [[1, {"kind": "rumour"}]]})
    assert contract.problems("Envelope", envelope | {"v": 2})
    assert contract.problems("Envelope", envelope | {"records": []})
    assert contract.problems("Envelope", envelope | {"records": envelope["records"] * 501})
    assert not contract.problems("Envelope", envelope | {"records": envelope["records"] * 500})


def places(node, path=()):
    """The way to every value in a message, however deep."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def decodes(message_type, message):
    try:
        if message_type in get_args(m.Record):
            m.decode_record(json.dumps(message).encode())
        else:
            m.decode(json.dumps(message).encode(), message_type)
    except MessageError:
        return False
    return True


# A decoder lets any version through, for its caller to judge, and needs no tag where there is one kind only;
# and no schema looks into base64.
JUDGED_ELSEWHERE = {("v",), ("input",), ("order", "action")}
JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**65), 2**65), st.text(max_size=3), st.just([]), st.just({}), st.just(0.5)
)


@given(st.data())
def test_the_schema_and_the_decoder_judge_damage_alike(contract, data):
    original = data.draw(st.sampled_from([*MESSAGES, *RECORDS]))
    message = as_json(original)
    judged = [place for place in places(message) if place not in JUDGED_ELSEWHERE]
    *path, last = data.draw(st.sampled_from([*judged, ("added",)]))
    damaged = copy.deepcopy(message)
    node = damaged
    for key in path:
        node = node[key]
    if isinstance(node, dict) and data.draw(st.booleans()):
        node.pop(last, None)
    else:
        node[last] = data.draw(JUNK)
    schema = type(original).__name__
    assert (contract.problems(schema, damaged) == []) == decodes(type(original), damaged), damaged
