"""The AsyncAPI description in docs/ is what the code says of itself."""

from pathlib import Path

from shared.asyncapi import describe

WRITTEN = Path(__file__).parents[3] / "docs" / "asyncapi.json"


def test_the_description_in_docs_is_current():
    assert WRITTEN.read_text(encoding="utf-8") == describe(), "run: make contracts"
