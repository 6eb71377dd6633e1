"""docs/protocol.md keeps up with the code: its examples are of the contract, and its MUSTs name tests that exist."""

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```json (\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
MUSTS = re.findall(r"^- \*\*M(\d+)\*\* (.*?)(?=^- |^#|\Z)", PAGE, re.DOTALL | re.MULTILINE)


def names_in(path):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_block_of_json_says_what_it_is_an_example_of(contract):
    assert len(EXAMPLES) == PAGE.count("```json")
    assert {message for message, _ in EXAMPLES} >= {"Envelope", "Ack", "Status", "CentreStatus"}


@pytest.mark.parametrize(("schema", "example"), EXAMPLES)
def test_an_example_is_of_the_contract(contract, schema, example):
    assert contract.problems(schema, json.loads(example)) == []


def test_the_musts_are_numbered_without_repeats():
    assert len(MUSTS) == len(re.findall(r"\*\*M\d", PAGE))
    assert sorted(int(number) for number, _ in MUSTS) == list(range(1, len(MUSTS) + 1))


@pytest.mark.parametrize(("number", "text"), MUSTS)
def test_a_must_says_so_and_names_tests_that_exist(number, text):
    assert "MUST" in text
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert named
    assert text.count("`tests/") == len(named)
    for path, name in named:
        assert name in names_in(path), f"M{number} names {path}::{name}"


def test_the_topics_are_those_of_the_contract(contract):
    spelt = {
        re.sub(r"<(\w+)>", r"{\1}", topic) for topic in re.findall(r"^\| `(spoolwatch/v1/[^`]+)`", PAGE, re.MULTILINE)
    }
    assert spelt == {channel["address"] for channel in contract.document["channels"].values()}


def reached_from(names, schemas):
    """These schemas and all that they refer to."""
    reached, waiting = set(), set(names)
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting |= set(re.findall(r"#/components/schemas/(\w+)", json.dumps(schemas[name]))) - reached
    return reached


def test_every_field_of_a_message_on_the_page_is_told(contract):
    schemas = contract.document["components"]["schemas"]
    for name in reached_from({message for message, _ in EXAMPLES}, schemas):
        for field in schemas[name].get("properties", {}):
            assert re.search(rf"[`\"]{field}[`\"]", PAGE), f"{name}.{field} is not on the page"
