"""Writes the AsyncAPI description of the contract: ``python -m shared.asyncapi docs/asyncapi.json``.

Everything in it comes from ``shared.messages``, ``shared.desired`` and ``shared.topics``; neither program imports this.
"""

import json
import sys
from dataclasses import dataclass
from inspect import cleandoc
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
from msgspec import Struct

from shared.desired import EngineDesired, SignedEngineDesired
from shared.messages import (
    ENVELOPE_MAX_BYTES,
    ENVELOPE_MAX_RECORDS,
    VERSION,
    Ack,
    CentreStatus,
    Command,
    Envelope,
    Record,
    Reply,
    SignedCommand,
    Status,
)
from shared.topics import CENTRE, ROOT

Json = dict[str, Any]
Role = Literal["gateway", "centre"]

QOS = 1
_SCHEMA = "#/components/schemas/{name}"
_BINDING_VERSION = "0.2.0"
_NAME_RULE = "1 to 64 letters, digits, `_`, `.` or `-`, starting with a letter or digit"
_PARAMETERS = {
    "site": {"description": f"Where the gateway stands: {_NAME_RULE}; not `{CENTRE}`.", "examples": ["hamburg"]},
    "gateway": {"description": f"The gateway, unique over all sites: {_NAME_RULE}.", "examples": ["gw-7"]},
    "replica": {"description": f"One aggregator among several: {_NAME_RULE}.", "examples": ["a"]},
}


@dataclass(frozen=True, slots=True)
class _Channel:
    name: str
    address: str
    message: type[Struct]
    sender: Role
    receivers: tuple[Role, ...]
    description: str
    retain: bool = False


_GATEWAY = f"{ROOT}/{{site}}/{{gateway}}"
CHANNELS = (
    _Channel("records", f"{_GATEWAY}/records", Envelope, "gateway", ("centre",), "The newest records, live."),
    _Channel("backfill", f"{_GATEWAY}/backfill", Envelope, "gateway", ("centre",), "Older records, behind the live."),
    _Channel(
        "status",
        f"{_GATEWAY}/status",
        Status,
        "gateway",
        ("centre", "gateway"),
        "What a gateway says of itself. The gateway listens too: a last will of an old connection may come late.",
        retain=True,
    ),
    _Channel("ack", f"{_GATEWAY}/ack", Ack, "centre", ("gateway",), "What became of records, after the commit."),
    _Channel("command", f"{_GATEWAY}/command", SignedCommand, "centre", ("gateway",), "What the centre asks for."),
    _Channel(
        "engineDesired",
        f"{_GATEWAY}/engine-desired",
        SignedEngineDesired,
        "centre",
        ("gateway",),
        "Which engines hang at a gateway, how old they are, and how those began that came from elsewhere.",
        retain=True,
    ),
    _Channel("reply", f"{_GATEWAY}/reply", Reply, "gateway", ("centre",), "What a gateway did about a command."),
    _Channel(
        "centreStatus",
        f"{ROOT}/{CENTRE}/{{replica}}/status",
        CentreStatus,
        "centre",
        ("gateway",),
        "Whether an aggregator accepts records.",
        retain=True,
    ),
)


def describe() -> str:
    """The description as it is kept in docs/."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def document() -> Json:
    """The AsyncAPI 3.0 document of both sides; each operation's tag says whose it is."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Spoolwatch: gateways and centre",
            "version": str(VERSION),
            "description": "How gateways and the centre talk over MQTT 5 or 3.1.1. Operations are tagged with the side "
            "that performs them. What each side must do with a message stands in protocol.md.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "broker": {
                "host": "{host}",
                "protocol": "mqtt",
                "description": "The MQTT broker between the gateways and the centre.",
                "variables": {"host": {"default": "127.0.0.1:1883", "description": "Address and port."}},
            }
        },
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": {
            f"{role}{verb}{channel.name[0].upper()}{channel.name[1:]}": _operation(channel, role, action)
            for channel in CHANNELS
            for action, verb, roles in (
                ("send", "Sends", (channel.sender,)),
                ("receive", "Receives", channel.receivers),
            )
            for role in roles
        },
        "components": {
            "messages": {channel.message.__name__: _message(channel.message) for channel in CHANNELS},
            "schemas": _schemas(),
        },
    }


def _channel(channel: _Channel) -> Json:
    return {
        "address": channel.address,
        "description": channel.description,
        "messages": {channel.message.__name__: {"$ref": f"#/components/messages/{channel.message.__name__}"}},
        "parameters": {name: text for name, text in _PARAMETERS.items() if f"{{{name}}}" in channel.address},
    }


def _operation(channel: _Channel, role: Role, action: str) -> Json:
    mqtt: Json = {"qos": QOS, "bindingVersion": _BINDING_VERSION}
    if action == "send":
        mqtt["retain"] = channel.retain
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "messages": [{"$ref": f"#/channels/{channel.name}/messages/{channel.message.__name__}"}],
        "tags": [{"name": role}],
        "bindings": {"mqtt": mqtt},
    }


def _message(message: type[Struct]) -> Json:
    text: Json = {
        "name": message.__name__,
        "contentType": "application/json",
        "description": cleandoc(message.__doc__ or ""),
        "payload": {"$ref": _SCHEMA.format(name=message.__name__)},
    }
    if message is Envelope:
        text["x-max-payload-bytes"] = ENVELOPE_MAX_BYTES
    return text


def _schemas() -> Json:
    # What is inside of other messages as bytes is in none of their schemas.
    types = [*(channel.message for channel in CHANNELS), Record, Command, EngineDesired]
    _, schemas = msgspec.json.schema_components(types, ref_template=_SCHEMA)
    for schema in schemas.values():
        if "v" in schema["properties"]:
            schema["properties"]["v"] |= {"const": VERSION}
    records = schemas["Envelope"]["properties"]["records"]
    records["maxItems"] = ENVELOPE_MAX_RECORDS
    records["items"]["prefixItems"][1] = {"$ref": _SCHEMA.format(name="Record")}
    schemas["Record"] = {
        "description": "One record, told apart by `kind`; its bytes are frozen when the gateway accepts it.",
        "oneOf": [{"$ref": _SCHEMA.format(name=kind.__name__)} for kind in get_args(Record)],
    }
    written: Json = _as_draft_7(schemas)
    return written


def _as_draft_7(node: Any) -> Any:
    """Spell tuples as JSON Schema draft 7 does, on which AsyncAPI builds, and docstrings without their indentation."""
    if isinstance(node, list):
        return [_as_draft_7(part) for part in node]
    if not isinstance(node, dict):
        return node
    spelt = {key: _as_draft_7(value) for key, value in node.items()}
    if "prefixItems" in spelt:
        spelt |= {"items": spelt.pop("prefixItems"), "additionalItems": False}
    if isinstance(spelt.get("description"), str):
        spelt["description"] = cleandoc(spelt["description"])
    return spelt


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(describe(), encoding="utf-8")
